"""What programs print when they die is told in a sentence, with what to do.

``failure_logs`` holds what real failures printed: those that need no GPU were made to happen (a full tmpfs, a port that
was taken, a rank that hung, ...), those of GPUs are lines from public reports.
"""

from pathlib import Path

import pytest

from fttui_engine.supervise.diagnosis import LAST_LINES, PATTERNS, REPEATED, diagnose

LOGS = sorted((Path(__file__).parent / "failure_logs").glob("*.log"))


@pytest.mark.parametrize("log", LOGS, ids=[log.stem for log in LOGS])
def test_real_last_words_are_understood(log: Path) -> None:
    found = diagnose(log)
    assert found is not None
    assert found.kind == log.name.partition(".")[0]
    assert found.advice


def test_every_class_is_backed_by_a_real_log() -> None:
    kinds = {pattern.diagnosis.kind for pattern in PATTERNS}
    assert kinds == {log.name.partition(".")[0] for log in LOGS}
    assert kinds >= REPEATED


def test_the_rank_that_failed_first_is_named(tmp_path: Path) -> None:
    said = {log.stem: diagnose(log) for log in LOGS}
    assert said["rank_lost"].message == "Rank 1 ended first, with exit code 9."
    assert said["nccl_timeout"].message.startswith("Rank 0 ended first, with exit code 1.")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "step 3/60 loss 2.1\n",
        "Traceback (most recent call last):\n    raise LocalEntryNotFoundError(\nValueError: three\n",
        "saved 12 files, no space lost\n",
    ],
)
def test_other_words_mean_nothing(tmp_path: Path, text: str) -> None:
    (tmp_path / "log").write_text(text)
    assert diagnose(tmp_path / "log") is None


def test_the_first_failure_counts_and_only_that_of_the_end(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("OSError: [Errno 24] Too many open files\n" + "step\n" * LAST_LINES)
    assert diagnose(log) is None
    with log.open("a") as file:
        file.write("torch.OutOfMemoryError: CUDA out of memory.\nRuntimeError: Connection closed by peer\n")
    assert diagnose(log).kind == "oom_cuda"
    assert diagnose(tmp_path / "none") is None


def test_the_manual_has_every_class() -> None:
    manual = (Path(__file__).parents[2] / "docs" / "failures.md").read_text()
    assert [
        pattern.diagnosis.kind for pattern in PATTERNS if f"| `{pattern.diagnosis.kind}` |" not in manual
    ] == []
