"""The text of a configuration, with its keys, comments and faulty lines told apart."""

import re
from collections import defaultdict
from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, cast

from rich.text import Text
from textual.binding import Binding, BindingType
from textual.widgets import TextArea
from textual.widgets.text_area import TextAreaTheme

from fttui.keys import bindings
from fttui.lines import Role
from fttui.themes import STYLES

if TYPE_CHECKING:
    from fttui.screens.editor import Editor

KEY = re.compile(r"\s*(?:- )?(?P<key>[\"\w.-]+)\s*:(?=\s|$)")
COMMENT = re.compile(r"(?:^|(?<=\s))#.*$")
INDENT = "  "
ODD_SEPARATORS = "\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"
"""TextArea breaks lines here too, and would write each as a newline; stand-ins of private use go through it unharmed."""
STAND_INS = {ord(each): 0x10F700 + number for number, each in enumerate(ODD_SEPARATORS)}
ORIGINALS = {stand_in: each for each, stand_in in STAND_INS.items()}


class LineParts(defaultdict[int, list[tuple[int, int | None, str]]]):
    """The parts of lines, found when a line is shown: for all of 5,000 lines it would take 50 ms at each key."""

    def __init__(self, text: "YamlText") -> None:
        super().__init__(list)
        self._text = text

    def __missing__(self, index: int) -> list[tuple[int, int | None, str]]:
        """Find the parts of a line."""
        self[index] = self._text.highlights_of(index)
        return self[index]

    def __bool__(self) -> bool:
        """There are parts, though none may be known yet."""
        return True


class YamlText(TextArea):
    """A text field; undo and redo are the document's, which the form shares."""

    BINDINGS: ClassVar[list[BindingType]] = [
        *bindings("editor-text"),
        Binding("ctrl+home", "edge(False)", "start", id="text-start", show=False),
        Binding("ctrl+end", "edge(True)", "end", id="text-end", show=False),
        Binding("tab", "indent", "indent", id="text-indent", show=False),
    ]

    def __init__(self) -> None:
        self._faults: Mapping[int, Role] = {}
        super().__init__(
            show_line_numbers=True, soft_wrap=False, compact=True, highlight_cursor_line=True, id="yaml"
        )
        self._highlights = LineParts(self)
        # A blinking cursor would send bytes for ever.
        self.cursor_blink = False

    def on_mount(self) -> None:
        """Take on the colours of the theme."""
        self._take_colours()
        self.app.theme_changed_signal.subscribe(self, lambda _theme: self._take_colours())

    def _take_colours(self) -> None:
        name = self.app.theme if self.app.theme in STYLES else "dark"
        self.register_theme(
            TextAreaTheme(
                f"fttui-{name}", syntax_styles={str(role): style for role, style in STYLES[name].items()}
            )
        )
        self.theme = f"fttui-{name}"

    @property
    def typed(self) -> str:
        """The text as it is to be saved."""
        return self.text.translate(ORIGINALS)

    def take(self, text: str) -> None:
        """Show a text; cursor and view stay where they were."""
        if text == self.typed:
            return
        row, column = self.cursor_location
        top = self.scroll_offset
        self.load_text(text.translate(STAND_INS))
        self.move_cursor((min(row, self.document.line_count - 1), column))
        self.scroll_to(top.x, top.y, animate=False)

    def mark_faults(self, faults: Mapping[int, Role]) -> None:
        """Mark lines, counted from 1, of which something is to be said."""
        if faults != self._faults:
            self._faults = dict(faults)
            self._build_highlight_map()
            self.refresh()

    def get_line(self, line_index: int) -> Text:
        """Return a line as it is shown: what a terminal would obey is shown as a question mark."""
        text = self.document.get_line(line_index)
        shown = "".join(each if each.isprintable() or each == "\t" else "?" for each in text)
        return Text(shown, end="", no_wrap=True)

    def _build_highlight_map(self) -> None:
        """Forget the parts of all lines; those that are shown are told apart again."""
        self._line_cache.clear()
        self._highlights.clear()

    def highlights_of(self, index: int) -> list[tuple[int, int | None, str]]:
        """Return the parts of a line by offsets in bytes, as TextArea wants them of a parser that we do without."""
        text = self.document.get_line(index)
        parts = parts_of(text, self._faults.get(index + 1))
        return [(_bytes_until(text, start), _bytes_until(text, end), role) for start, end, role in parts]

    def action_indent(self) -> None:
        """Indent by two spaces: YAML knows no tabs."""
        self.insert(INDENT)

    def action_edge(self, is_end: bool) -> None:
        """Go to the first character of the text, or behind its last."""
        self.move_cursor(self.document.end if is_end else (0, 0))

    def action_undo(self) -> None:
        """Undo in the document, which the form shares."""
        cast("Editor", self.screen).action_undo()

    def action_redo(self) -> None:
        """Redo in the document, which the form shares."""
        cast("Editor", self.screen).action_redo()


def _bytes_until(text: str, at: int) -> int:
    return len(text[:at].encode("utf-8", "replace"))


def parts_of(text: str, fault: Role | None) -> list[tuple[int, int, Role]]:
    """Return the parts of a line that do not look plain."""
    parts: list[tuple[int, int, Role]] = []
    comment = COMMENT.search(text)
    until = comment.start() if comment else len(text)
    if (key := KEY.match(text)) and key.end() <= until:
        parts.append((key.start("key"), key.end("key"), fault or "accent"))
        start = key.end()
    else:
        start = 0
    value = text[start:until]
    if value.strip() and (fault or value.strip()[:1] in "\"'[{"):
        parts.append((start, until, fault or "good"))
    if comment:
        parts.append((comment.start(), len(text), "dim"))
    return parts
