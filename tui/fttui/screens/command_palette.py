"""Finding what can be done by its name: the actions of the screen, runs with their pages, themes."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.fuzzy import Matcher
from textual.screen import ModalScreen
from textual.widgets import Input

from fttui.cli.screen_arguments import THEME_NAMES
from fttui.keys import SIGNS
from fttui.lines import Line, Span, line, spread
from fttui.screens.run_page import PAGES
from fttui.widgets.scroll_list import ScrollList

if TYPE_CHECKING:
    from fttui.screens.run_screen import CockpitScreen

ROWS = 14
MOST_SHOWN = 200


class Command(NamedTuple):
    """Something that can be done; ``keys`` is what to press for it without the palette."""

    title: str
    keys: str
    action: str


class CommandPalette(ModalScreen[Command | None]):
    """A field and the commands that have its letters in this order, the closest first."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "leave", "close", id="palette-close"),
        Binding("down,ctrl+n", "move(1)", "down", id="palette-down"),
        Binding("up,ctrl+p", "move(-1)", "up", id="palette-up"),
        Binding("pagedown", "move(10)", "page", id="palette-page-down"),
        Binding("pageup", "move(-10)", "back", id="palette-page-up"),
    ]

    def __init__(self, commands: Sequence[Command]) -> None:
        super().__init__()
        self._commands = commands
        self._found = list(commands)
        self._field = Input(id="palette-field", compact=True)
        self._list = ScrollList(id="palette-list", has_cursor=True)

    def compose(self) -> ComposeResult:
        """Lay out the field and the list."""
        with Vertical(classes="dialog reference") as box:
            box.styles.height = ROWS + 4
            yield self._field
            yield self._list

    def on_mount(self) -> None:
        """Show all commands."""
        self._show()

    def on_input_changed(self, event: Input.Changed) -> None:
        """Find what was typed."""
        self._found = find(event.value, self._commands)
        self._list.cursor = 0
        self._show()

    def on_input_submitted(self) -> None:
        """Do what the cursor stands on."""
        at = self._list.cursor
        self.dismiss(self._found[at] if at < len(self._found) else None)

    def _show(self) -> None:
        self._list.show(
            "Do",
            lambda width: [_row(each, width) for each in self._found],
            remark="type to find, enter does it",
            empty="Nothing has these letters.",
        )

    def action_move(self, rows: int) -> None:
        """Move the cursor."""
        self._list.move(rows)

    def action_leave(self) -> None:
        """Go back."""
        self.dismiss(None)


def find(typed: str, commands: Sequence[Command]) -> list[Command]:
    """Return the commands that have the letters typed in their order, the closest first."""
    if not typed.strip():
        return list(commands)
    words = typed.strip().lower()
    # Without spaces: `lora 9` is to find lora-9.
    matcher = Matcher(words.replace(" ", ""))
    scored = [(each.title.lower().startswith(words), matcher.match(each.title), each) for each in commands]
    # What is called so comes before what only speaks of it.
    found = sorted((each for each in scored if each[1] > 0), key=lambda each: (not each[0], -each[1]))
    return [command for _, _, command in found[:MOST_SHOWN]]


def _row(command: Command, width: int) -> Line:
    return spread(line(f" {command.title}"), line(Span(f" {command.keys} ", "dim")), width)


def commands_for(screen: "CockpitScreen") -> list[Command]:
    """Return what can be done from a screen."""
    cockpit = screen.cockpit
    run, runs = screen.run_shown, cockpit.snapshot.runs if cockpit.snapshot else ()
    keys = [
        Command(f"{key.label}: {key.help}", SIGNS.get(key.keys.split(",")[0], key.shown), key.action)
        for key in cockpit.keymap.keys_of(screen.SCOPE)
        if key.id != "palette"
    ]
    pages = [
        Command(f"{name} of {run.id}", "", f"app.open_place({run.id!r}, {scope!r})")
        for scope, name, _ in (*PAGES, ("log", "Log", ""))
        if run
    ]
    themes = [Command(f"theme: {name}", "", f"app.take_theme({name!r})") for name in THEME_NAMES]
    others = [
        Command(f"run {each.id}", str(each.state), f"app.open_place({each.id!r}, 'run')") for each in runs
    ]
    return [*keys, *pages, *themes, *others]
