"""The screens that the program can begin with, by name."""

from importlib import import_module
from typing import TYPE_CHECKING, Final

from fttui.screens.run_page import PAGES

if TYPE_CHECKING:
    from textual.screen import Screen

    from fttui.keys import Scope

PLACES: "Final[dict[Scope, str]]" = {
    **{scope: where for scope, _, where in PAGES},
    "log": "log_view:LogView",
    "gpus": "gpu_page:GpuPage",
}
"""Every screen that can stand on the dashboard, and where it is."""


def place(scope: "Scope") -> "Screen[None]":
    """Return a new screen for one of the ``PLACES``."""
    module, _, name = PLACES[scope].partition(":")
    screen: Screen[None] = getattr(import_module(f"fttui.screens.{module}"), name)()
    return screen
