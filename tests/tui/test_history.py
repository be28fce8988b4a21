"""The curves of long runs: few points, and still every spike."""

import math

from fttui.history import MOST_BUCKETS, Curve, History
from fttui_engine.runs.metrics import MetricNews


def test_a_short_curve_is_kept_point_by_point():
    curve, points = Curve(), tuple((step, step * 0.5) for step in range(1, MOST_BUCKETS))
    for point in points:
        curve.add(*point)
    assert curve.points() == points


def test_a_long_curve_keeps_its_ends_and_its_extremes_in_bounded_memory():
    curve = Curve()
    for step in range(1, 100_001):
        curve.add(step, {12_345: 99.0, 77_777: -99.0, 50_001: math.nan}.get(step, 1.0 + step % 7))
    points = curve.points()
    assert len(points) <= 5 * MOST_BUCKETS
    assert (12_345, 99.0) in points
    assert (77_777, -99.0) in points
    assert any(math.isnan(value) for _, value in points)
    assert points[0][0] == 1
    assert points[-1][0] == 100_000
    assert [step for step, _ in points] == sorted(step for step, _ in points) or any(
        math.isnan(value) for _, value in points
    )


def test_updates_take_in_only_what_is_new_and_forget_what_was_redone():
    history = History()
    first = [{"step": step, "loss": 10.0 - step, "grad_norm": step} for step in range(1, 6)]
    history.update(MetricNews(0, first))
    more = [{"step": 6, "loss": 1.0}, {"step": 6, "eval_loss": 2.0}, {"step": "x", "loss": 3}, {"loss": 4}]
    history.update(MetricNews(5, more))
    assert [step for step, _ in history.losses.points()] == [1, 2, 3, 4, 5, 6]
    assert history.evaluations.points() == ((6, 2.0),)
    assert history.best_loss == 1.0
    assert history.latest("grad_norm") == 5
    history.update(MetricNews(3, [{"step": 4, "loss": 7.0}]))
    assert history.losses.points() == ((1, 9.0), (2, 8.0), (3, 7.0), (4, 7.0))
    assert history.evaluations.points() == ()
    assert history.best_loss == 7.0
    assert history.latest("grad_norm") == 3
