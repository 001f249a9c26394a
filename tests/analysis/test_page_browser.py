"""The report in a real browser: what a reader does with it, and what it must never do."""

import json
from itertools import pairwise

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from analysis import pareto, report, table
from analysis.schema import arrow_schema
from tests.analysis import studies
from tests.browser import browser
from tests.components import require

EVIL = "<img src=x onerror=window.hacked=1>"
TWIN = "e" * 16
AS_OPENED = """
hidden.method.clear(); hidden.study.clear(); legends();
Object.assign(listing, {page: 0, by: firstY, falls: isTop(firstY)});
$("x").value = firstX; $("y").value = firstY; $("listed").value = "front"; $("search").value = ""; chosen = null;
delete document.documentElement.dataset.theme; $("details-body").replaceChildren();
changed(); scrollTo({top: 0, behavior: "instant"});
"""
POINTS = "return [...document.querySelectorAll('#front-chart .scatterlayer .points path')].length"


@pytest.fixture(scope="module")
def chromium():
    require("chromium")
    with browser() as found:
        yield found


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Sixty trials, two of them equal on the front, with curves and artefacts, some of them stopped."""
    made = studies.rows(60)
    best = _best(made)
    made.append(best | {"trial": TWIN})
    written = studies.write(tmp_path_factory.mktemp("page") / "made-up", made)
    (written / "spec.yaml").write_text("search: {objectives: [val_accuracy, macs], constraints: {sparsity: '>= .01'}}")
    for trial in (best["trial"], TWIN):
        (written / "artefacts" / trial).mkdir(parents=True)
    (written / "curves").mkdir()
    for row in made:
        epochs = [
            {"trial": row["trial"], "stage": stage, "round": 1, "epoch": epoch, "val_accuracy": 0.5 + epoch / 100}
            for epoch, stage in enumerate(("cut", "recovery", "recovery"))
        ]
        (written / "curves" / f"{row['trial']}.json").write_text(json.dumps(epochs))
    return written


def _best(rows):
    pruned = [row for row in rows if row["state"] == "complete" and row["method"] != "dense"]
    return max(pruned, key=lambda row: (row["val_accuracy"], -row["macs"]))


@pytest.fixture(scope="module")
def opened(study, tmp_path_factory):
    return report.write_page([study], tmp_path_factory.mktemp("written") / "report.html")


@pytest.fixture
def page(chromium, opened):
    """The study's page, opened once, which takes longest, and as it was when it was opened."""
    if chromium.driver.current_url == opened.resolve().as_uri():
        chromium.messages()
        chromium.run(AS_OPENED)
    else:
        chromium.open(opened)
    yield chromium
    assert chromium.messages() == []
    chromium.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def test_a_page_asks_for_nothing_but_itself(page):
    page.run("document.querySelector('#learning-chart').scrollIntoView()")
    page.until("return document.querySelector('#learning-chart .scatterlayer')")
    assert [url for url in page.requests() if not url.startswith(("data:", "blob:"))] == [page.driver.current_url]
    assert page.run("return performance.getEntriesByType('resource').length") == 0
    # What plotly brings along to send a chart to its makers is not there either.
    titles = page.run("return [...document.querySelectorAll('.modebar-btn')].map(one => one.dataset.title)")
    drawn = {"Download plot as a PNG", "Zoom", "Pan", "Zoom in", "Zoom out", "Reset axes"}
    assert set(titles) == drawn  # no "Share chart...", which uploads it


def test_the_policy_of_the_page_blocks_a_request_and_a_script(page):
    page.run(
        "window.blocked = []; addEventListener('securitypolicyviolation', e => blocked.push(e.effectiveDirective))"
    )
    page.run("const s = document.createElement('script'); s.textContent = 'window.hacked = 1'; document.body.append(s)")
    page.run("fetch('https://example.org/').catch(() => {})")
    page.run("document.body.append(Object.assign(new Image(), {src: 'https://example.org/x.png'}))")
    page.until("return window.blocked.length === 3")
    assert sorted(page.run("return blocked")) == ["connect-src", "img-src", "script-src-elem"]
    assert page.run("return window.hacked") is None
    assert page.messages()  # the browser said so, and the fixture wants no other message


def test_a_click_on_a_point_shows_the_recipe_the_curve_and_the_artefact(page, study):
    chosen = _best(table.read(study).to_pylist())
    at = page.run(
        """const chart = document.getElementById('front-chart'), {xaxis, yaxis} = chart._fullLayout;
        const box = chart.getBoundingClientRect();
        return [box.x + xaxis._offset + xaxis.c2p(arguments[0]), box.y + yaxis._offset + yaxis.c2p(arguments[1])];""",
        chosen["macs"],
        chosen["val_accuracy"],
    )
    for kind in ("mouseMoved", "mousePressed", "mouseReleased"):
        event = {"type": kind, "x": at[0], "y": at[1], "button": "left", "clickCount": 1}
        page.driver.execute_cdp_cmd("Input.dispatchMouseEvent", event)
    page.until("return document.getElementById('recipe')")
    recipe = dict(line.split(": ") for line in page.text("#recipe").splitlines())
    assert (recipe["method"], recipe["ratio"]) == (chosen["method"], str(chosen["ratio"]))
    assert page.text("#status").startswith("Trial ")
    assert page.run("return document.querySelectorAll('#details-chart .scatterlayer .trace').length") == 1
    assert page.text("#artefact") == str(study / "artefacts" / page.run("return trial[chosen]"))
    assert page.run("return trial[chosen]") in {chosen["trial"], TWIN}


def test_other_axes_draw_other_points_and_another_front(page):
    before = page.run("return document.getElementById('front-chart').data[0].x")
    page.run("const x = document.getElementById('x'); x.value = 'params'; x.dispatchEvent(new Event('change'))")
    assert page.run("return document.getElementById('front-chart').data[0].x") != before
    assert page.run("return document.getElementById('front-chart').layout.xaxis.title.text") == "parameters (← better)"
    assert "parameters" in page.text("#networks thead")


@pytest.mark.parametrize(("x", "y"), [("macs", "val_accuracy"), ("sparsity", "val_accuracy"), ("params", "val_loss")])
def test_the_front_on_the_page_is_that_of_the_library_ties_and_duplicates_kept(page, study, x, y):
    rows = table.where(table.read(study), "sparsity >= 0.01")
    drawn = page.run(
        "return frontOf(complete.filter(i => isMet[i]), arguments[0], arguments[1]).map(i => trial[i])", x, y
    )
    assert sorted(drawn) == sorted(pareto.front(rows, [x, y])["trial"].to_pylist())
    assert len(drawn) == len(set(drawn))


def test_a_method_that_is_switched_off_is_hidden_everywhere(page):
    everything = page.run(POINTS)
    box = page.find("#methods label:nth-of-type(2) input")
    count = int(page.text("#methods label:nth-of-type(2)").split("(")[1].rstrip(")"))
    box.click()
    # Points of the front are drawn as the others are.
    assert page.run(POINTS) == everything - count
    page.run("const all = document.getElementById('listed'); all.value = 'all'; all.dispatchEvent(new Event('input'))")
    name = page.text("#methods label:nth-of-type(2)").split(" (")[0]
    methods = page.run("return listed().map(i => method[i])")
    assert methods
    assert name not in methods


def test_every_network_is_reached_by_keyboard_and_said_to_those_who_listen(page):
    from selenium.webdriver.common.keys import Keys

    page.run("document.getElementById('search').focus()")
    page.press(Keys.TAB)  # the region that scrolls
    page.press(Keys.TAB)
    assert page.focus() == "trial"
    page.press(Keys.ENTER)
    assert page.run("return document.querySelector('th[aria-sort]').textContent").startswith("trial")
    assert page.focus().startswith("trial")  # sorting does not lose the place
    while page.run("return document.activeElement.closest('th') !== null"):
        page.press(Keys.TAB)
    row = page.run("return document.activeElement.dataset.row")
    page.press(Keys.ENTER)
    assert page.run("return chosen") == int(row)
    # The whole name is said, and the button that was pressed keeps the focus.
    assert page.run("return trial[chosen]") in page.text("#status")
    assert page.run("return document.activeElement.dataset.row") == row
    assert page.run("return document.querySelector('tr[aria-current=true]').dataset.row") == row
    assert page.run("return getComputedStyle(document.activeElement).outlineStyle") == "solid"
    assert page.run("return document.getElementById('status').getAttribute('aria-live')") == "polite"


def test_charts_have_names_and_headings_have_an_order(page):
    page.run("Object.keys(charts).forEach(id => show(id))")
    unnamed = (
        "return [...document.querySelectorAll('.js-plotly-plot')].filter(one => !one.ariaLabel).map(one => one.id)"
    )
    assert page.run(unnamed) == []
    levels = page.run("return [...document.querySelectorAll('h1, h2, h3, h4')].map(one => +one.tagName[1])")
    assert levels[0] == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    named = "return [...document.querySelectorAll('select, input')].filter(one => !one.labels.length).length"
    assert page.run(named) == 0
    # Without colours: no two methods have the same mark.
    symbols = page.run("return Object.values(data.marks.method).map(mark => mark.symbol)")
    assert len(set(symbols)) == len(symbols)


def test_dark_is_what_the_system_says_until_the_button_says_otherwise(page):
    paper = "return getComputedStyle(document.body).backgroundColor"
    light = page.run(paper)
    page.driver.execute_cdp_cmd(
        "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": "dark"}]}
    )
    dark = page.until(f"{paper} !== '{light}' && getComputedStyle(document.body).backgroundColor")
    ink = page.run("return document.getElementById('front-chart').layout.font.color")
    page.find("#theme").click()
    assert page.run(paper) == light
    assert page.run("return document.getElementById('front-chart').layout.font.color") != ink
    page.find("#theme").click()
    assert page.run(paper) == dark


def test_printed_it_holds_every_section_in_dark_ink_and_comes_back(page):
    page.run("document.documentElement.dataset.theme = 'dark'")
    width = page.run("return document.getElementById('front-chart').clientWidth")
    page.driver.execute_cdp_cmd("Page.printToPDF", {})
    drawn = page.run("return Object.values(charts).every(one => one.isDrawn)")
    assert drawn
    assert page.run("return document.documentElement.dataset.theme") == "dark"
    page.until(f"return document.getElementById('front-chart')._fullLayout.width === {width}")


def test_names_and_messages_of_users_are_text(chromium, tmp_path):
    made = studies.rows(18)
    for row in made[1:]:
        row |= {"method": EVIL if row["method"] == "slimming" else row["method"], f"knob {EVIL}": EVIL, "worker": EVIL}
    made[5] |= {"state": "failed", "error": "</script><script>window.hacked=1</script><!-- " + EVIL}
    evil = studies.write(tmp_path / EVIL, made)
    (evil / "spec.yaml").write_text(f"# {EVIL}\nsearch: {{objectives: [val_accuracy, macs]}}\n")
    chromium.open(report.write_page([evil], tmp_path / "report.html"))
    chromium.run("Object.keys(charts).forEach(id => show(id)); pick(complete.find(i => method[i].startsWith('<img')))")
    assert EVIL in chromium.text("#recipe")
    assert EVIL in chromium.text("#failures-table")
    assert EVIL in chromium.text("h1")
    assert EVIL in chromium.text("#environment-body")
    assert EVIL in chromium.run("return document.querySelector('#ratios-chart .legend').textContent")
    assert chromium.run("return [document.images.length, document.scripts.length]") == [0, 3]
    assert chromium.run("return window.hacked") is None
    assert chromium.messages() == []


def test_several_studies_are_told_apart_by_marks_and_switched_off_one_by_one(chromium, tmp_path):
    study = studies.write(tmp_path / "made-up", studies.rows(18))
    other = studies.write(tmp_path / "other", studies.rows(18, seed=1))
    chromium.open(report.write_page([study, other], tmp_path / "report.html"))
    both = chromium.run(POINTS)
    chromium.run(
        "const by = document.getElementById('marks'); by.value = 'study'; by.dispatchEvent(new Event('change'))"
    )
    assert chromium.run("return [...new Set(document.getElementById('front-chart').data.map(one => one.name))]") == [
        "front",
        "made-up",
        "other",
    ]
    chromium.find("#studies label:nth-of-type(2) input").click()
    assert 0 < chromium.run(POINTS) < both
    assert chromium.messages() == []


@pytest.mark.parametrize(
    "made",
    [
        [studies.DENSE_ROW | {"state": "failed", "error": "MemoryError: no room", "val_accuracy": None}],
        [studies.DENSE_ROW],
        [row | {"val_accuracy": None, "macs": None, "sparsity": None} for row in studies.rows(9)],
        [row | {"val_accuracy": 0.5, "macs": 7, "sparsity": 0.0} for row in studies.rows(30)],
    ],
    ids=["none complete", "one row", "no objective", "all the same"],
)
def test_a_study_with_little_to_show_says_so_without_an_error(chromium, tmp_path, made):
    chromium.open(report.write_page([studies.write(tmp_path / "little", made)], tmp_path / "report.html"))
    chromium.run("Object.keys(charts).forEach(id => show(id)); document.getElementById('listed').value = 'all'; list()")
    assert chromium.run("return listed().length") == len(made)
    chromium.run("pick(0)")
    assert chromium.text("#front-caption")
    assert chromium.messages() == []


def test_ten_thousand_rows_open_and_answer(chromium, tmp_path):
    """How fast is measured by benchmarks/report.py; here it is that so many points are drawn, and can be chosen."""
    made = studies.rows(10_000)
    schema = arrow_schema({"scope": "string"})
    columns = {field.name: pa.array([row.get(field.name) for row in made], field.type) for field in schema}
    study = tmp_path / "many"
    study.mkdir()
    (study / "spec.yaml").write_text("search: {objectives: [val_accuracy]}")
    pq.write_table(pa.table(columns, schema=schema), study / "trials.parquet")
    chromium.open(report.write_page([study], tmp_path / "report.html"))
    sizes = "return document.getElementById('front-chart').data.map(one => one.mode === 'markers' && one.x.length)"
    assert sum(chromium.run(sizes)) == sum(row["state"] == "complete" for row in made)
    chromium.run("pick(complete[5000])")
    assert chromium.text("#recipe").startswith("method: ")
    assert chromium.messages() == []
