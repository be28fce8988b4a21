"""Everything that happened to a run."""

import time
from collections.abc import Sequence
from typing import ClassVar

from textual.binding import BindingType

from fttui.keys import bindings
from fttui.lines import Line, Span, line, wrap
from fttui.screens.list_page import ListPage
from fttui.snapshot import RunDetail, Snapshot
from fttui_engine.runs.events import Event
from fttui_engine.runs.summary import RunSummary

HEAD_WIDTH = 25


class EventPage(ListPage):
    """Lists the events of a run, the latest last."""

    SCOPE = "events"
    ENDS_FIRST = True
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("events")]

    def show_run(self, run: RunSummary, detail: RunDetail | None, snapshot: Snapshot) -> None:
        """Show the events."""
        events = detail.events if detail else ()
        count = f"{len(events)} of {max(1, run.attempt)} attempts" if run.attempt > 1 else str(len(events))
        self._list.show(
            "Events", lambda width: all_lines(events, width), remark=count, empty="Nothing has happened yet."
        )
        self._keys.show(())


def all_lines(events: Sequence[Event], width: int) -> list[Line]:
    """Return all events with date, time and attempt, folded to the width and never cut."""
    return [one for event in events for one in _lines(event, width)]


def _lines(event: Event, width: int) -> list[Line]:
    clock = time.strftime(" %Y-%m-%d %H:%M:%S", time.localtime(event.time))
    folded = wrap(event.message or event.event, width - HEAD_WIDTH) or [line("")]
    first = line(Span(f"{clock} ", "dim"), Span(f"{event.attempt:>2}  ", "accent"), *folded[0])
    return [first, *(line(" " * HEAD_WIDTH, *rest) for rest in folded[1:])]
