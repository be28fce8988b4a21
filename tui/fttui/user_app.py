"""An application as its user wants it: colours, characters, keys, and whether it may change anything."""

from typing import TYPE_CHECKING, Literal

from textual._compositor import ChopsUpdate
from textual.app import App
from textual.filter import Monochrome, NoColor

from fttui.ascii_only import AsciiOnly, wants_ascii
from fttui.cropped_update import CroppedUpdate
from fttui.keys import KEYS
from fttui.keys.keymap import Keymap
from fttui.themes import TEXTUAL_THEMES, fitting_theme
from fttui_engine.runs.logs import one_line

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rich.console import RenderableType
    from textual.actions import ActionParseResult
    from textual.dom import DOMNode
    from textual.filter import LineFilter
    from textual.screen import Screen

    from fttui.settings import Settings

Severity = Literal["information", "warning", "error"]
TOAST_SECONDS = 6.0
ERROR_TOAST_SECONDS = 12.0
WHEEL_LINES = 3
READ_ONLY = "Read-only: nothing is changed from here."


class UserApp(App[None]):
    """Takes on what the settings say."""

    def __init__(self, settings: "Settings") -> None:
        super().__init__()
        self.settings = settings
        self.keymap = Keymap(settings.keymap)
        for theme in TEXTUAL_THEMES:
            self.register_theme(theme)
        self.theme = fitting_theme(settings.theme, self.console.color_system, no_color=self.no_color)
        self.set_keymap(self.keymap.for_textual)
        self._ascii_only = AsciiOnly(enabled=wants_ascii() if settings.ascii is None else settings.ascii)
        # Not made anew for each line: what was filtered is kept by filter.
        self._no_color = NoColor()

    def get_line_filters(self) -> "Sequence[LineFilter]":
        """Return what every line passes through before it is sent."""
        filters = [
            self._no_color if isinstance(each, Monochrome) else each for each in super().get_line_filters()
        ]
        return [*filters, self._ascii_only] if self._ascii_only.enabled else filters

    def _display(self, screen: "Screen[object]", renderable: "RenderableType | None") -> None:
        if isinstance(renderable, ChopsUpdate):
            renderable = CroppedUpdate.of(renderable)
        super()._display(screen, renderable)

    async def run_action(
        self,
        action: "str | ActionParseResult",
        default_namespace: "DOMNode | None" = None,
        namespaces: "Mapping[str, DOMNode] | None" = None,
    ) -> bool:
        """Do what a key stands for; in read-only mode nothing that changes anything."""
        if self.settings.read_only and any(key.changes and key.action == action for key in KEYS):
            self.tell(READ_ONLY, "warning")
            return True
        return await super().run_action(action, default_namespace, namespaces)

    def on_mouse_scroll_down(self) -> None:
        """Scroll down; only where the settings have the terminal report the mouse."""
        self._turn_wheel("down")

    def on_mouse_scroll_up(self) -> None:
        """Scroll up."""
        self._turn_wheel("up")

    def _turn_wheel(self, key: str) -> None:
        is_list_of_runs = getattr(self.screen, "SCOPE", "") == "dashboard"
        for _ in range(1 if is_list_of_runs else WHEEL_LINES):
            self.simulate_key(key)

    def tell_problems(self) -> None:
        """Say what in the user's file could not be taken on."""
        for problem in (*self.settings.problems, *self.keymap.problems):
            self.tell(problem, "warning")

    def tell(self, text: str, severity: Severity = "information") -> None:
        """Show a sentence for some seconds."""
        timeout = ERROR_TOAST_SECONDS if severity == "error" else TOAST_SECONDS
        self.notify(one_line(text), severity=severity, timeout=timeout, markup=False)
