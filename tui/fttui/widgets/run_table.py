"""The table of runs: one line each, the state as glyph, word and colour."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from fttui import figures
from fttui.lines import Line, Role, Span, fit, fit_right, line, rule
from fttui.widgets.snapshot_panel import SnapshotPanel
from fttui_engine.runs.states import State
from fttui_engine.runs.summary import RunSummary

GLYPHS: dict[State, tuple[str, Role]] = {
    State.QUEUED: ("=", "accent"),
    State.STARTING: ("+", "accent"),
    State.RUNNING: (">", "good"),
    State.STOPPING: ("|", "warn"),
    State.STOPPED: ("-", "plain"),
    State.FINISHED: ("v", "good"),
    State.FAILED: ("x", "bad"),
    State.INTERRUPTED: ("!", "bad"),
    State.PARKED: ("?", "warn"),
}
STATE_WIDTH = 14
RUN_WIDTHS = (12, 40)
ROWS_TITLE = 2


@dataclass(frozen=True, slots=True)
class Column:
    """A column: what it shows of a run at a moment, and in how narrow a table it gives way (``needs``)."""

    title: str
    width: int
    text: Callable[[RunSummary, float], str]
    needs: int = 0


COLUMNS = (
    Column("STEP", 12, lambda run, now: figures.steps(run.step, run.max_steps)),
    Column("", 4, lambda run, now: figures.percent(run.step, run.max_steps), needs=84),
    Column("LOSS", 7, lambda run, now: figures.loss(run.loss)),
    Column("TOK/S", 6, lambda run, now: figures.count(run.tokens_per_second), needs=66),
    Column("ETA", 7, lambda run, now: figures.duration(run.eta_seconds), needs=58),
    Column("AGE", 4, lambda run, now: figures.age(now - moment(run))),
    Column("CKPT", 7, lambda run, now: newest_checkpoint(run), needs=92),
    Column("GPUS", 7, lambda run, now: ",".join(map(str, run.gpus)) if run.gpus else "-", needs=100),
)


def matching(runs: Sequence[RunSummary], words: str) -> tuple[RunSummary, ...]:
    """Return the runs that have all these words in their name or state."""
    wanted = words.lower().split()
    return tuple(run for run in runs if all(word in f"{run.id} {run.state}".lower() for word in wanted))


class RunTable(SnapshotPanel):
    """Lists the runs of a snapshot and marks the selected one."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._selected: str | None = None
        self._filter = ""
        self._marked: Collection[str] = ()
        self._first = 0

    def select(self, selected: str | None, marked: Collection[str], words: str) -> None:
        """Say which run of the next snapshot is selected, which are marked, and with which words the others stay out."""
        self._selected, self._marked, self._filter = selected, marked, words

    def draw(self, width: int, height: int) -> Sequence[Line]:
        """Return heading, column titles and as many runs as fit around the selected one."""
        if self._snapshot is None:
            return [rule("Runs", width)]
        runs = matching(self._snapshot.runs, self._filter)
        if self._filter and not runs:
            sentence = f"No run has {self._filter!r} in its name or state; / asks for other words."
            return [rule("Runs", width), line(Span(f" {sentence}", "dim"))]
        rows = max(1, height - ROWS_TITLE)
        chosen = next((index for index, run in enumerate(runs) if run.id == self._selected), 0)
        self._first = min(max(self._first, chosen - rows + 1), chosen, max(0, len(runs) - rows))
        shown = runs[self._first : self._first + rows]
        return table_lines(
            shown,
            self._selected,
            width,
            self._snapshot.taken_at,
            first=self._first,
            total=len(runs),
            marked=self._marked,
            words=self._filter,
        )


def table_lines(
    shown: Sequence[RunSummary],
    selected: str | None,
    width: int,
    now: float,
    *,
    first: int,
    total: int,
    marked: Collection[str] = (),
    words: str = "",
) -> list[Line]:
    """Return the table with the runs shown, of which the first is number ``first`` of ``total``."""
    if not total:
        return [
            rule("Runs", width),
            line(Span(" There are no runs yet. Press n to start one; the profile demo needs no GPU.", "dim")),
        ]
    columns = [column for column in COLUMNS if width >= column.needs]
    taken = 2 + STATE_WIDTH + sum(column.width + 1 for column in columns) + 1
    run_width = max(RUN_WIDTHS[0], min(RUN_WIDTHS[1], width - taken))
    filtered = f"only {words}  " if words else ""
    titles = "".join(f" {fit_right(column.title, column.width)}" for column in columns)
    note_width = width - taken - run_width - 2
    heading = f"  {fit('STATE', STATE_WIDTH)}{fit('RUN', run_width)}{titles}" + (
        "  NOTE" if note_width > 8 else ""
    )
    return [
        rule("Runs", width, f"{filtered}{first + 1}-{first + len(shown)} of {total}"),
        line(Span(heading, "dim")),
        *(
            _row(
                run,
                columns,
                run_width,
                note_width,
                now,
                cursor=run.id == selected,
                marked=run.id in marked,
            )
            for run in shown
        ),
    ]


def _row(
    run: RunSummary,
    columns: Sequence[Column],
    run_width: int,
    note_width: int,
    now: float,
    *,
    cursor: bool,
    marked: bool,
) -> Line:
    glyph, role = GLYPHS[run.state]
    cells = "".join(f" {fit_right(column.text(run, now), column.width)}" for column in columns)
    spans = [
        Span("▌" if cursor else " ", "accent", cursor),
        Span("*" if marked else " ", "warn", cursor),
        Span(fit(f"{glyph} {run.state}", STATE_WIDTH), role, cursor),
        Span(fit(run.id, run_width), "plain", cursor),
        Span(cells, "plain" if run.state.is_live or cursor else "dim", cursor),
    ]
    if note_width > 8:
        spans.append(Span("  " + fit(note(run, now), note_width), "plain" if cursor else "dim", cursor))
    return tuple(spans)


def moment(run: RunSummary) -> float:
    """Return since when a run is what it is: a live one since its start, an ended one since its end."""
    return (run.started_at or run.created_at) if run.state.is_live else (run.ended_at or run.created_at)


def newest_checkpoint(run: RunSummary) -> str:
    """Return the step of the newest complete checkpoint."""
    return next((str(each.step) for each in reversed(run.checkpoints) if each.complete), figures.MISSING)


def note(run: RunSummary, now: float) -> str:
    """Return what else there is to say about a run, in a few words."""
    if run.state is State.STOPPING and run.stop_deadline:
        return f"saves and stops, killed in {figures.duration(run.stop_deadline - now)}"
    if run.detail:
        return run.detail
    if run.exit and run.exit.message:
        return run.exit.message
    return run.phase if run.phase and run.phase != "train" else ""
