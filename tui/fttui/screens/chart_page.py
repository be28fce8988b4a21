"""Charts of the metrics of a run, alone or with other runs laid over it."""

from dataclasses import replace
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.message import Message

from fttui.charts.picture import ChartPicture
from fttui.charts.reader import ChartReader
from fttui.charts.request import X_AXES, ChartRequest
from fttui.charts.smoothing import WEIGHTS
from fttui.keys import bindings
from fttui.poller import Poller
from fttui.screens.pick_runs import PickRuns
from fttui.screens.run_page import RunPage
from fttui.snapshot import RunDetail, Snapshot
from fttui.widgets.key_line import KeyLine
from fttui.widgets.metric_chart import LETTERS, MetricChart
from fttui_engine.runs.summary import RunSummary

READ_SECONDS = 1.0
SMALL_COLUMNS, SMALL_ROWS = 3, 2
TALL, VERY_TALL = 34, 46
"""From so many lines on there is room for one row of smaller charts, or for two."""
FIRST_OF_OTHERS = (
    "loss",
    "eval_loss",
    "learning_rate",
    "grad_norm",
    "tokens_per_second",
    "step_seconds",
    "gpu_memory_peak_bytes",
)
ZOOM, PAN = 2.0, 0.25


class ChartsRead(Message):
    """The thread that reads metrics has new pictures."""

    def __init__(self, pictures: tuple[ChartPicture, ...]) -> None:
        super().__init__()
        self.pictures = pictures

    def can_replace(self, message: Message) -> bool:
        """Only the newest pictures count."""
        return isinstance(message, ChartsRead)


class ChartPage(RunPage):
    """Shows one metric large and, where there is room, others small."""

    SCOPE = "chart"
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("chart")]

    def __init__(self) -> None:
        super().__init__()
        self._chart = MetricChart(id="big-chart")
        self._small = [
            [MetricChart(classes="small-chart", is_small=True) for _ in range(SMALL_COLUMNS)]
            for _ in range(SMALL_ROWS)
        ]
        self._rows = [Horizontal(*row, classes="small-charts") for row in self._small]
        self._keys = KeyLine("chart")
        self._reader: ChartReader | None = None
        self._poller: Poller[tuple[ChartPicture, ...]] | None = None
        self._pictures: tuple[ChartPicture, ...] = ()
        self._metrics: tuple[str, ...] = ()
        self._cursor: int | None = None

    def compose(self) -> ComposeResult:
        """Lay out title, charts and keys."""
        yield self._title
        with Vertical(id="charts"):
            yield self._chart
            yield from self._rows
        yield self._keys

    def on_mount(self) -> None:
        """Begin to read."""
        reader = self._reader = ChartReader(self.cockpit.home)
        self._poller = Poller(
            "charts",
            reader.look,
            lambda pictures: self.post_message(ChartsRead(pictures)),
            READ_SECONDS,
            has_more=lambda: reader.has_more,
        )

    def on_unmount(self) -> None:
        """End the reading."""
        if self._poller:
            self._poller.close()

    def show_run(self, run: RunSummary, detail: RunDetail | None, snapshot: Snapshot) -> None:
        """Say what is to be read."""
        self._keys.show(self.idle_keys())
        self._ask()

    def _ask(self) -> None:
        run = self.run_shown
        if run is None or self._reader is None or self._poller is None:
            return
        small = self._others()
        for index, (needs, row) in enumerate(zip((TALL, VERY_TALL), self._rows, strict=True)):
            row.display = self.app.size.height >= needs and len(small) > index * SMALL_COLUMNS
        others = [
            each.id
            for each in (self.cockpit.snapshot.runs if self.cockpit.snapshot else ())
            if each.id in self.cockpit.marked and each.id != run.id
        ]
        runs = (run.id, *others[: len(LETTERS) - 1])
        big = replace(self.cockpit.chart, runs=runs, dots=self._chart.dots)
        requests = [big]
        for metric, chart in zip(small, self._shown_small(), strict=False):
            requests.append(
                ChartRequest((run.id,), metric, big.x_axis, big.smoothing, window=big.window, dots=chart.dots)
            )
        wanted = tuple(requests), run.max_steps
        if wanted != self._reader.wanted:
            self._reader.wanted = wanted
            self._poller.wake()

    def _others(self) -> list[str]:
        """Return the metrics for the small charts, the most telling first."""
        known = [name for name in self._metrics if name not in (self.cockpit.chart.metric, "epoch")]
        return sorted(
            known,
            key=lambda name: FIRST_OF_OTHERS.index(name) if name in FIRST_OF_OTHERS else len(FIRST_OF_OTHERS),
        )

    def _shown_small(self) -> list[MetricChart]:
        return [
            chart for box, row in zip(self._rows, self._small, strict=True) if box.display for chart in row
        ]

    def on_metric_chart_resized(self) -> None:
        """Ask for pictures of the new width."""
        self._ask()

    def on_charts_read(self, event: ChartsRead) -> None:
        """Show what was read."""
        self._pictures = event.pictures
        if event.pictures and event.pictures[0].metrics != self._metrics:
            self._metrics = event.pictures[0].metrics
            self._ask()
        self._draw()

    def _draw(self) -> None:
        if not self._pictures:
            return
        picture, *others = self._pictures
        with self.app.batch_update():
            self._chart.show(picture, self._absent(picture), self._cursor)
            for chart, other in zip(self._shown_small(), others, strict=False):
                chart.show(other, "")
            for chart in self._shown_small()[len(others) :]:
                chart.show(ChartPicture(ChartRequest(metric="")), "")

    def _absent(self, picture: ChartPicture) -> str:
        if picture.metrics:
            return f"There is no {picture.request.metric} yet, or not in this part. m shows another metric."
        run = self.run_shown
        if run and run.kind != "train":
            return "This program is not fttui's own worker: it has a log, but reports no numbers."
        return "The first numbers come after the first logged step."

    # Keys

    def _change(self, request: ChartRequest) -> None:
        self.cockpit.chart = request
        self._ask()

    def action_metric(self, direction: int) -> None:
        """Show another metric."""
        if self._metrics:
            now = self.cockpit.chart.metric
            at = self._metrics.index(now) if now in self._metrics else -direction
            metric = self._metrics[(at + direction) % len(self._metrics)]
            self._change(replace(self.cockpit.chart, metric=metric))

    def action_x_axis(self) -> None:
        """Count steps, time or tokens."""
        now = self.cockpit.chart.x_axis
        following = X_AXES[(X_AXES.index(now) + 1) % len(X_AXES)]
        self._change(replace(self.cockpit.chart, x_axis=following, window=None))

    def action_log_axis(self) -> None:
        """Make the y axis logarithmic, or not."""
        self._change(replace(self.cockpit.chart, is_log=not self.cockpit.chart.is_log))

    def action_smooth(self, direction: int) -> None:
        """Smooth more or less."""
        at = WEIGHTS.index(self.cockpit.chart.smoothing) + direction
        self._change(replace(self.cockpit.chart, smoothing=WEIGHTS[min(max(0, at), len(WEIGHTS) - 1)]))

    def action_inspect(self) -> None:
        """Show a cursor at the end of the curve, or take it away."""
        if self._cursor is None:
            curves = self._chart.picture.curves
            self._cursor = curves[0].raw[-1].column // 2 if curves and curves[0].raw else 0
        else:
            self._cursor = None
        self._draw()

    def action_pan(self, direction: int) -> None:
        """Move the cursor or, where there is none, the window."""
        if self._cursor is not None:
            self._cursor = min(max(0, self._cursor + direction), self._chart.dots // 2 - 1)
            self._draw()
        elif window := self.cockpit.chart.window:
            low, high = window
            whole = self._chart.picture.whole
            by = min(max(whole[0] - low, (high - low) * PAN * direction), max(0.0, whole[1] - high))
            self._change(replace(self.cockpit.chart, window=(low + by, high + by)))

    def action_zoom(self, direction: int) -> None:
        """Zoom in or out, around the cursor or at the end of the curve."""
        if not direction:
            self._change(replace(self.cockpit.chart, window=None))
            return
        picture = self._chart.picture
        low, high = picture.low, picture.high
        span = (high - low) * ZOOM**-direction
        whole = picture.whole[1] - picture.whole[0]
        if span >= whole:
            self._change(replace(self.cockpit.chart, window=None))
            return
        if self.cockpit.chart.x_axis == "step" and span < 4:
            return
        centre = self._centre(picture)
        # What is pointed at stays where it is on the screen.
        share = (centre - low) / (high - low)
        start = min(max(picture.whole[0], centre - span * share), picture.whole[1] - span)
        if self._cursor is None and self.cockpit.chart.window is None:
            start = max(picture.whole[0], centre - span)
        self._change(replace(self.cockpit.chart, window=(start, start + span)))

    def _centre(self, picture: ChartPicture) -> float:
        if self._cursor is not None:
            return picture.low + (picture.high - picture.low) * self._cursor / (self._chart.dots // 2)
        last = picture.curves[0].last_x if picture.curves else None
        return picture.high if last is None else min(max(picture.low, last), picture.high)

    def action_compare(self) -> None:
        """Choose the runs to lay over this one."""
        self.app.push_screen(PickRuns())
