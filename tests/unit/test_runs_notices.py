"""The worker's warnings: each sentence once, few, in their own file."""

from pathlib import Path

import pytest

from fttui_engine.runs.attempt import Request
from fttui_engine.runs.notices import LONGEST_NOTICE, MOST_NOTICES, read_notices
from fttui_engine.runs.run import Run
from fttui_engine.train.loop.reporter import Reporter, SilentReporter


def test_a_warning_in_the_log_is_noticed_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = Run(tmp_path / "demo")
    attempt = run.attempt(1)
    attempt.create(Request("scratch"))
    reporter = Reporter(run, attempt)
    for _ in range(2):
        reporter.log("data: 3 records")
        reporter.log("warning: the model has no chat template")
    SilentReporter(run, attempt).log("warning: of another rank")
    assert read_notices(attempt.notices_path)[0] == ["The model has no chat template."]
    assert capsys.readouterr().out.count("warning: the model has no chat template\n") == 2

    for number in range(100):
        reporter.log(f"warning: {number} " + "x" * 5000)
    found, _ = read_notices(attempt.notices_path)
    assert len(found) == MOST_NOTICES
    assert max(map(len, found)) == LONGEST_NOTICE
