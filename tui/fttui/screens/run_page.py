"""What the pages about one run have in common: its title, the way from page to page."""

from importlib import import_module
from typing import Final

from fttui import figures
from fttui.keys import Scope
from fttui.lines import Line, Span, line, spread
from fttui.screens.run_screen import RunScreen
from fttui.snapshot import RunDetail, Snapshot
from fttui.widgets.line_panel import LinePanel
from fttui.widgets.run_table import GLYPHS
from fttui_engine.runs.summary import RunSummary

PAGES: Final[tuple[tuple[Scope, str, str], ...]] = (
    ("run", "Overview", "run_detail:RunView"),
    ("chart", "Charts", "chart_page:ChartPage"),
    ("checkpoints", "Checkpoints", "checkpoint_page:CheckpointPage"),
    ("events", "Events", "event_page:EventPage"),
    ("config", "Config", "config_page:ConfigPage"),
    ("files", "Files", "file_page:FilePage"),
)


class RunTitle(LinePanel):
    """The two top lines of a run's pages."""

    def __init__(self, scope: Scope) -> None:
        super().__init__(id="run-title")
        self._scope = scope
        self._run: RunSummary | None = None

    def show(self, run: RunSummary) -> None:
        """Show a run."""
        self._run = run
        self.redraw()

    def draw(self, width: int, _height: int) -> list[Line]:
        """Return title and pages."""
        return [title_line(self._run, width), pages_line(self._scope)] if self._run else []


def title_line(run: RunSummary, width: int) -> Line:
    """Return id, state and progress at the left, where it runs at the right."""
    glyph, role = GLYPHS[run.state]
    left = line(Span(f" {run.id}", "strong"), "  ", Span(f"{glyph} {run.state}", role), f"  {_progress(run)}")
    return spread(left, line(Span(f"{run.host} ", "dim")), width)


def _progress(run: RunSummary) -> str:
    parts = [figures.steps(run.step, run.max_steps), figures.percent(run.step, run.max_steps)]
    if run.state.is_live and run.eta_seconds is not None:
        parts.append(f"ETA {figures.duration(run.eta_seconds)}")
    return "  ".join(part for part in parts if part != figures.MISSING)


def pages_line(scope: Scope) -> Line:
    """Return the pages with the digits that open them; the present one also stands in brackets."""
    spans = []
    for number, (page, name, _) in enumerate(PAGES, 1):
        text = f"[{number} {name}]" if page == scope else f" {number} {name} "
        spans.append(Span(text, "strong" if page == scope else "dim"))
    return tuple(spans)


class RunPage(RunScreen):
    """A page about the selected run."""

    AUTO_FOCUS = ""

    def __init__(self) -> None:
        super().__init__()
        self._title = RunTitle(self.SCOPE)

    def show(self, snapshot: Snapshot) -> None:
        """Show the run, or go back when it is gone."""
        run = self.run_shown
        if run is None:
            self.app.pop_screen()
            return
        self._title.show(run)
        detail = snapshot.detail if snapshot.detail and snapshot.detail.run_id == run.id else None
        self.show_run(run, detail, snapshot)

    def show_run(self, run: RunSummary, detail: RunDetail | None, snapshot: Snapshot) -> None:
        """Show what the page is about."""

    def on_resize(self) -> None:
        """Fill the panels at their new sizes."""
        if self.cockpit.snapshot and self.is_current:
            self.call_after_refresh(self.show, self.cockpit.snapshot)

    def action_page(self, scope: Scope) -> None:
        """Go to another page."""
        if scope != self.SCOPE:
            module, _, name = next(where for page, _, where in PAGES if page == scope).partition(":")
            page = getattr(import_module(f"fttui.screens.{module}"), name)
            self.app.switch_screen(page())

    def action_next_page(self, direction: int) -> None:
        """Go to the page beside this one."""
        scopes = [page for page, _, _ in PAGES]
        self.action_page(scopes[(scopes.index(self.SCOPE) + direction) % len(scopes)])
