"""A real browser for tests: Debian's chromium, without a screen and without a network."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.components import program

PATIENCE = 60.0
"""Seconds, on a machine where much else runs."""


class Browser:
    """What tests ask of a page."""

    def __init__(self, driver: Any) -> None:
        self.driver = driver

    def open(self, page: Path) -> None:
        """Open a file and wait until it says that it is ready."""
        self.messages()
        self.requests()
        self.driver.get(page.resolve().as_uri())
        self.until("return document.documentElement.dataset.ready")

    def run(self, script: str, *arguments: Any) -> Any:
        """What a script returns."""
        return self.driver.execute_script(script, *arguments)

    def until(self, script: str | Callable[[], Any]) -> Any:
        """Wait until a script, or a function, gives something true, and give it."""
        start = time.monotonic()
        while time.monotonic() - start < PATIENCE:
            found = script() if callable(script) else self.run(script)
            if found:
                return found
            time.sleep(0.02)
        raise AssertionError(f"in {PATIENCE} s it did not come about: {script}")

    def find(self, selector: str) -> Any:
        """The first element that a CSS selector finds."""
        return self.driver.find_element("css selector", selector)

    def text(self, selector: str) -> str:
        """The text of an element, wherever it is on the page."""
        return str(self.run("return document.querySelector(arguments[0]).textContent", selector))

    def press(self, *keys: str) -> None:
        """Press keys, one after the other, wherever the focus is."""
        from selenium.webdriver import ActionChains

        ActionChains(self.driver).send_keys(*keys).perform()

    def focus(self) -> str:
        """The id, or else the text, of what has the focus."""
        return str(self.run("return document.activeElement.id || document.activeElement.textContent"))

    def messages(self) -> list[str]:
        """What the console said since it was last asked; of drawing without a graphics card it may say so."""
        said = [entry["message"] for entry in self.driver.get_log("browser")]
        return [message for message in said if "WebGL" not in message and "GL Driver Message" not in message]

    def requests(self) -> list[str]:
        """What was asked for since it was last asked, by address."""
        events = [json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance")]
        sent = [event["params"] for event in events if event["method"] == "Network.requestWillBeSent"]
        return [str(one["request"]["url"]) for one in sent]


@contextmanager
def browser(*, width: int = 1280, height: int = 900) -> Iterator[Browser]:
    """A browser that ends with the block; names of hosts lead nowhere in it."""
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = program("chromium")
    for argument in (
        *("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-background-networking"),
        *(f"--window-size={width},{height}", "--host-resolver-rules=MAP * ~NOTFOUND", "--enable-unsafe-swiftshader"),
    ):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(program("chromedriver")))
    try:
        yield Browser(driver)
    finally:
        driver.quit()
