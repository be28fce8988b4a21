"""Charts of any metric: nothing is lost by reducing, smoothing comes first, several runs stay apart."""

import math
from array import array

import pytest

from fttui.charts.buckets import Reduction
from fttui.charts.columns import MetricColumns
from fttui.charts.picture import ChartPicture, take_picture
from fttui.charts.reader import ChartReader
from fttui.charts.request import ChartRequest
from fttui.charts.smoothing import WEIGHTS, Smoothing
from fttui.lines import text_of
from fttui.widgets.metric_chart import MetricChart, plot_lines, remark
from fttui_engine.runs.metrics import MetricsWriter
from fttui_engine.runs.run import Run


@pytest.fixture
def logged(tmp_path):
    def make(name, points):
        folder = tmp_path / name
        folder.mkdir()
        run = Run(folder)
        writer = MetricsWriter(run.metrics_path)
        for point in points:
            writer.append(point)
        columns = MetricColumns(run)
        columns.poll()
        return columns

    return make


def falling(count, **more):
    return [
        {"step": step, "time": 1e9 + 2 * step, "tokens": 100 * step, "loss": 1 + math.exp(-step / 25), **more}
        for step in range(1, count + 1)
    ]


def picture(runs, **asked) -> ChartPicture:
    return take_picture(ChartRequest(tuple(run.run.id for run in runs), **asked), runs, 100)


def drawn(shown: ChartPicture, width=50, height=12, cursor=None) -> list[str]:
    chart = MetricChart()
    chart._picture, chart._cursor = shown, cursor
    return [text_of(line).rstrip() for line in chart.draw(width, height)]


def reduce(places, values, low, high, dots):
    return Reduction(low, high, dots).up_to(places, array("I", range(len(places))), values)


def test_reducing_keeps_every_extreme_and_every_point_in_its_column():
    places = array("d", range(10_000))
    values = array("d", (math.sin(place / 300) + (9 if place == 4321 else 0) for place in places))
    buckets = reduce(places, values, 0, 9_999, 100)
    assert max(bucket.high for bucket in buckets) == max(values)
    assert min(bucket.low for bucket in buckets) == min(values)
    assert [bucket.column for bucket in buckets] == list(range(100))
    assert buckets[0].first == values[0] and buckets[-1].last == values[-1]
    part = reduce(places, values, 4_000, 5_000, 100)
    assert part[0].first == values[4_000] and part[-1].x == 5_000
    assert max(bucket.high for bucket in part) == values[4321]


@pytest.mark.parametrize("weight", WEIGHTS)
def test_smoothing_of_a_constant_is_that_constant_and_costs_only_what_is_new(weight):
    values = array("d", [3.5] * 500)
    smoothing = Smoothing(weight)
    assert all(abs(value - 3.5) < 1e-9 for value in smoothing.up_to(values))
    values.extend([1.0] * 200)
    grown = list(smoothing.up_to(values))
    assert grown == list(Smoothing(weight).up_to(values))


def test_smoothing_comes_before_reducing(logged):
    """A spike between two columns of a small chart still lifts the average behind it."""
    points = [{"step": step, "loss": 100.0 if step == 50 else 1.0} for step in range(1, 101)]
    run = logged("spike", points)
    shown = picture([run], smoothing=0.9, dots=10)
    exact = list(Smoothing(0.9).up_to(array("d", (point["loss"] for point in points))))
    assert shown.curves[0].smooth[-1].last == exact[-1] > 1.01
    assert max(bucket.high for bucket in shown.curves[0].smooth) == max(exact)


def test_every_metric_can_be_shown_by_step_time_and_tokens(logged):
    run = logged("run", [*falling(50, grad_norm=0.5), {"step": 50, "eval_loss": 1.3, "attempt": 1}])
    assert picture([run]).metrics == ("loss", "grad_norm", "eval_loss")
    for axis, last in (("step", 50), ("time", 98), ("tokens", 5000)):
        shown = picture([run], x_axis=axis)
        assert shown.curves[0].last_x == last
        assert shown.curves[0].marks == ((last, 1.3),)
        assert axis == "step" or shown.whole[1] > last, "more steps may come"
    assert "o" in "".join(drawn(picture([run]))[2:])
    assert not picture([run], metric="eval_loss").is_smoothed
    whole = logged("whole", falling(100))
    assert picture([whole], x_axis="time").whole == (0.0, 198)
    assert picture([whole], x_axis="tokens").whole == (0.0, 10_000)


def test_a_logarithmic_axis_says_what_it_leaves_out(logged):
    run = logged("run", [{"step": step, "loss": (step - 3) / 10} for step in range(1, 50)])
    shown = picture([run], is_log=True, smoothing=0.0)
    lines = drawn(shown, 100, 14)
    assert "3 not above 0 left out" in lines[0]
    labels = [line.split("│")[0].strip() for line in lines[2:-1]]
    assert {"0.100", "1.000"} <= set(labels)


def test_several_runs_are_told_apart_without_colours(logged):
    runs = [logged("first", falling(60)), logged("second", falling(90)), logged("third", [])]
    shown = picture(runs)
    lines = drawn(shown, 90, 12)
    assert "a first" in lines[1] and "b second" in lines[1] and "third" not in lines[1]
    plot = "".join(lines[2:])
    assert "a" in plot and "b" in plot
    assert "1.027 at 90" in lines[1]


def test_the_cursor_reads_values_and_marks(logged):
    run = logged("run", [*falling(40), {"step": 40, "eval_loss": 1.9}, *falling(100)[40:]])
    shown = picture([run], smoothing=0.0, dots=2 * 41)
    lines = drawn(shown, 51, 12, cursor=20)
    assert lines[1].startswith(" at 50  1.130 at 51")
    assert "eval 1.900" in drawn(shown, 90, 12, cursor=20)[1]
    assert all(line[9 + 20] != " " for line in lines[2:-1])


def test_steps_done_again_replace_the_earlier_ones(logged):
    run = logged("run", falling(40))
    writer = MetricsWriter(run.run.metrics_path)
    for point in falling(35)[30:]:
        writer.append({**point, "loss": 9.0})
    run.poll()
    column = run.columns["loss"]
    assert [column.place("step", index) for index in range(len(column.points))] == list(range(1, 36))
    assert list(column.values[-5:]) == [9.0] * 5
    assert len(column.smoothed(0.9)) == 35


def test_values_that_are_no_numbers_are_marked_and_do_not_spoil_the_others(logged):
    odd = [{"step": 31, "loss": math.nan}, {"step": 32, "loss": math.inf}, {"step": 33, "loss": 1.2}]
    points = [*falling(30), *odd]
    run = logged("run", [*points, {"step": "x", "loss": 1}, {"step": 34, "loss": "much", "odd": None}])
    shown = picture([run])
    assert shown.curves[0].broken == (31.0, 32.0)
    assert math.isfinite(shown.curves[0].smooth[-1].last)
    assert "x" in drawn(shown)[2]


def test_a_new_point_changes_only_the_last_columns(logged):
    """Over SSH a frame costs some cells and not the chart."""
    run = logged("run", falling(300))
    writer = MetricsWriter(run.run.metrics_path)
    for step in range(301, 320):
        before = plot_lines(picture([run], dots=120), 60, 10, None)
        writer.append({"step": step, "loss": 1 + math.exp(-step / 25)})
        run.poll()
        after = plot_lines(picture([run], dots=120), 60, 10, None)
        newest = 9 + step * 119 // 512 // 2
        for old, new in zip(map(text_of, before), map(text_of, after), strict=True):
            assert old[: newest - 2] == new[: newest - 2]


def test_a_picture_for_another_width_fills_the_chart_until_its_own_comes(logged):
    run = logged("run", falling(100))
    plot = drawn(picture([run], dots=24), 90, 12)[2:-1]
    assert max(len(line) for line in plot) >= 85


@pytest.mark.parametrize("size", [(1, 1), (9, 3), (20, 2), (22, 5), (80, 24)])
def test_a_chart_without_room_or_points_does_not_crash(size, logged):
    run = logged("run", falling(30))
    for shown in (picture([run]), picture([logged("none", [])]), ChartPicture()):
        for cursor in (None, 0, 500):
            assert len(drawn(shown, *size, cursor=cursor)) <= max(size[1], 2)


def test_what_grows_is_reduced_to_the_same_as_what_is_read_at_once(logged):
    points = [{**point, "loss": math.sin(point["step"])} for point in falling(700)]
    points[40]["loss"] = math.nan
    points[333:333] = [{"step": 333, "eval_loss": 1.0}]
    points[500:500] = points[450:500]
    run = logged("grows", [])
    writer = MetricsWriter(run.run.metrics_path)
    for index, point in enumerate(points):
        writer.append(point)
        if index % 7 == 0:
            run.poll()
            picture([run], dots=90)
            picture([run], dots=90, window=(100.0, 612.0))
    run.poll()
    whole = logged("whole", points)
    for window in (None, (100.0, 612.0)):
        grown, fresh = (picture([each], dots=90, window=window) for each in (run, whole))
        assert grown.curves[0].raw == fresh.curves[0].raw
        assert grown.curves[0].smooth == fresh.curves[0].smooth
        assert grown.curves[0].broken == fresh.curves[0].broken
        assert grown.curves[0].best == fresh.curves[0].best


def test_a_million_points_are_not_touched_again_for_one_more(logged):
    """Steps by hundreds stand for a long history: the count of what is reduced, not the time."""
    run = logged("long", falling(20_000))
    before = picture([run], dots=100, smoothing=0.0)
    column = run.columns["loss"]
    reduction = column._reductions[("step", 0.0, 100)]
    seen = []
    values, column.values = column.values, Watched(column.values, seen)
    MetricsWriter(run.run.metrics_path).append({"step": 20_001, "loss": 1.0})
    run.poll()
    after = picture([run], dots=100, smoothing=0.0)
    assert column._reductions[("step", 0.0, 100)] is reduction
    assert after.curves[0].raw[:-1] == before.curves[0].raw[:-1]
    assert after.curves[0].raw[-1].last == 1.0
    assert len(values) == 20_000 and sum(seen) < 1_000


class Watched(array):
    """Notes how many values are taken from it at a time."""

    def __new__(cls, values, seen):
        made = super().__new__(cls, "d", values)
        made.seen = seen
        return made

    def __getitem__(self, key):
        found = super().__getitem__(key)
        self.seen.append(len(found) if isinstance(key, slice) else 1)
        return found


def test_a_long_history_is_shown_from_a_sample_until_it_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr("fttui.charts.reader.PART_BYTES", 100_000)
    monkeypatch.setattr("fttui.charts.reader.PART_SECONDS", 0.0)
    folder = tmp_path / "runs" / "long"
    folder.mkdir(parents=True)
    with Run(folder).metrics_path.open("w") as file:
        file.writelines(f'{{"step": {step}, "loss": {1 + 5 / step}}}\n' for step in range(1, 20_001))
    reader = ChartReader(tmp_path)
    reader.wanted = ((ChartRequest(("long",), smoothing=0.9, dots=100),), 20_000)
    (first,) = reader.look()
    assert reader.has_more and first.read_share < 0.5
    assert first.curves[0].last_x == 20_000 and len(first.curves[0].raw) == 100
    assert "a sample" in remark(first)
    shown = first
    while reader.has_more:
        (shown,) = reader.look()
    assert shown.read_share == 1 and "a sample" not in remark(shown)
    assert shown.curves[0].smooth != shown.curves[0].raw
    assert shown.curves[0].raw[0].high == 6.0
