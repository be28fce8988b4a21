"""What happened to a run, the latest last."""

import time
from collections.abc import Sequence

from fttui.lines import Line, Span, line, rule, wrap
from fttui.widgets.line_panel import LinePanel
from fttui_engine.runs.events import Event

CLOCK_WIDTH = 10
MOST_LINES = 3
"""An event that takes more is cut: a list of events is for their order."""


class EventList(LinePanel):
    """Shows as many of the last events as fit."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._events: Sequence[Event] = ()

    def show(self, events: Sequence[Event]) -> None:
        """Show the end of a list of events."""
        self._events = events
        self.redraw()

    def draw(self, width: int, height: int) -> Sequence[Line]:
        """Return heading and events."""
        heading = rule("Events", width)
        if not self._events:
            return [heading, line(Span(" Nothing has happened yet.", "dim"))]
        lines = [one for event in self._events[-height:] for one in event_lines(event, width)]
        return [heading, *lines[max(0, len(lines) - height + 1) :]]


def event_lines(event: Event, width: int) -> list[Line]:
    """Return an event with its time of day, folded to the width."""
    clock = time.strftime(" %H:%M:%S ", time.localtime(event.time))
    folded = wrap(event.message or event.event, width - CLOCK_WIDTH)[:MOST_LINES] or [line("")]
    heads = [clock, *[" " * CLOCK_WIDTH] * (len(folded) - 1)]
    return [line(Span(head, "dim"), *rest) for head, rest in zip(heads, folded, strict=True)]
