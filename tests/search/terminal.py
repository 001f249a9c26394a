"""What a person would see on a terminal of a given size."""

import re

_TOKEN = re.compile(r"\x1b\[(\?)?([\d;]*)([A-Za-z])|\x1b.|[\r\n]|[^\x1b\r\n]+")


class Screen:
    """Lines of text under the few codes that rich writes: colours, cursor up, erase line, carriage return."""

    def __init__(self, *, width: int, height: int) -> None:
        self.width, self.height = width, height
        self.lines = [""] * height
        self.scrolled: list[str] = []
        self.row = self.column = 0
        self.overflowed = False
        """Whether a text was longer than the line that it began in."""
        self.cursor_hidden = False
        self.tallest = 0

    def write(self, text: str) -> None:
        for token in _TOKEN.finditer(text):
            said = token[0]
            if said == "\r":
                self.column = 0
            elif said == "\n":
                self.column = 0  # as terminals are set up
                self.row += 1
                if self.row == self.height:
                    self.scrolled.append(self.lines.pop(0))
                    self.lines.append("")
                    self.row -= 1
            elif token[3] == "A":
                self.row = max(0, self.row - int(token[2] or 1))
            elif token[3] == "K":
                self.lines[self.row] = ""
            elif token[1] and token[2] == "25":
                self.cursor_hidden = token[3] == "l"
            elif not said.startswith("\x1b"):
                line = self.lines[self.row].ljust(self.column)
                self.lines[self.row] = line[: self.column] + said + line[self.column + len(said) :]
                self.column += len(said)
                self.overflowed = self.overflowed or self.column > self.width
            self.tallest = max(self.tallest, sum(bool(line.strip()) for line in self.lines))

    @property
    def shown(self) -> str:
        return "\n".join(line.rstrip() for line in self.lines).rstrip()
