"""What Slurm is told and what it says: texts in, texts out; a real cluster is in tests/e2e/test_slurm.py."""

import os
import time
from pathlib import Path

import pytest

from fttui_engine.errors import WrongRequestError
from fttui_engine.runs.run import Run
from fttui_engine.runs.slurm_job import (
    GONE,
    Sight,
    Sights,
    SlurmJob,
    read_sights,
    waiting_sentence,
    write_sights,
)
from fttui_engine.slurm import looks
from fttui_engine.slurm.programs import SlurmError, SlurmSilentError, find_job, my_jobs, submit
from fttui_engine.slurm.script import batch_script
from fttui_engine.spec.slurm_values import gres_gpus, limit_seconds

JOB = SlurmJob("7", {}, 0.0)


def program(folder: Path, name: str, script: str) -> None:
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder whose programs take the place of Slurm's, where what they say is hard to have from a real one."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return folder


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("30", 1800),
        ("30:15", 1815),
        ("12:00:00", 43200),
        ("2-00", 172800),
        ("1-2:30", 95400),
        ("1-2:30:01", 95401),
        ("12h", None),
        ("1:2:3:4", None),
        ("", None),
    ],
)
def test_time_limits(text: str, seconds: int | None) -> None:
    assert limit_seconds(text) == seconds


@pytest.mark.parametrize(
    ("gres", "count"),
    [("gpu", 1), ("gpu:2", 2), ("gpu:a100:4", 4), ("gpu:a100", 1), ("shard:3,gpu:1", 1), ("lustre", 0)],
)
def test_gpus_of_a_gres(gres: str, count: int) -> None:
    assert gres_gpus(gres) == count


def test_a_script_survives_any_folder_name(tmp_path: Path) -> None:
    folder = tmp_path / "a b'c$(touch oops)%j\"d" / "runs" / "r"
    script = batch_script(Run(folder), {"time": "5", "extra": ['--comment="two words"']}, Path("/x y/job.py"))
    folder.mkdir(parents=True)
    command = script.splitlines()[-1].replace("exec ", "printf '%s\\n' ", 1)
    said = os.popen(f"cd {tmp_path!s} && {command}").read().splitlines()
    assert said[-2:] == ["/x y/job.py", str(folder)] and not (tmp_path / "oops").exists()
    assert '#SBATCH --comment="two words"' in script and "%%j" in script
    for bad in ("a\nb", "a\\b"):
        with pytest.raises(WrongRequestError, match="cannot carry"):
            batch_script(Run(tmp_path / bad), {}, Path("/x"))


def test_a_reason_may_hold_anything(programs: Path) -> None:
    program(
        programs, "squeue", "echo '7|PENDING|2030-01-02T03:04:05||(Nodes a|b, \033[31mred)'; echo garbage"
    )
    (job,) = my_jobs()
    assert (job.state, job.reason) == ("PENDING", "Nodes a|b, red")
    assert job.start_at == time.mktime(time.strptime("2030-01-02 03:04:05", "%Y-%m-%d %H:%M:%S"))


def test_who_does_not_answer_is_told_from_who_says_no(
    programs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(programs, "squeue", "echo 'slurm_load_jobs error: Invalid job id specified' >&2; exit 1")
    assert find_job("7") is None
    program(
        programs, "squeue", "echo 'slurm_load_jobs error: Unable to contact slurm controller' >&2; exit 1"
    )
    with pytest.raises(SlurmSilentError):
        find_job("7")
    program(programs, "sbatch", "echo 'sbatch: error: QOSMaxSubmitJobPerUserLimit' >&2; exit 1")
    with pytest.raises(SlurmError, match="sbatch refused: QOSMaxSubmitJobPerUserLimit"):
        submit(tmp_path / "job.sh", {})
    program(programs, "sbatch", 'echo "7;cluster"; env > "$HOME/seen"')
    for name, text in (
        ("HOME", str(tmp_path)),
        ("A_TOKEN", "secret"),
        ("SBATCH_ACCOUNT", "mine"),
        ("SBATCH_PARTITION", "gpu"),
    ):
        monkeypatch.setenv(name, text)
    assert submit(tmp_path / "job.sh", {"partition": "cpu"}) == "7"
    seen = (tmp_path / "seen").read_text()
    assert "secret" not in seen and "SBATCH_ACCOUNT=mine" in seen and "SBATCH_PARTITION" not in seen


def test_many_viewers_ask_once_and_what_vanished_is_gone(programs: Path, tmp_path: Path) -> None:
    count = tmp_path / "count"
    program(programs, "squeue", f"echo x >> {count}; echo '7|RUNNING|N/A|n1|None'")
    for job_id in ("7", "8", "7", "8"):
        sights = looks.look(tmp_path, job_id)
    # Twice: the second question was for a job that nobody had asked about.
    assert count.read_text().split() == ["x"] * 2
    assert (sights.jobs["7"].state, sights.jobs["8"].state) == ("RUNNING", GONE)
    write_sights(tmp_path, read_sights(tmp_path)._replace(asked_at=0.0))
    program(programs, "squeue", "echo 'Unable to contact slurm controller' >&2; exit 1")
    sights = looks.look(tmp_path, "7")
    assert sights.jobs["7"].state == "RUNNING" and "Unable to contact" in sights.error


def test_sentences_of_waiting_runs() -> None:
    now = time.mktime((2026, 11, 22, 12, 0, 0, 0, 0, -1))
    pending = Sight("PENDING", "Priority", "", now + 3600, now)
    known = Sights({"7": pending}, now, now)
    said = "Slurm job 7 waits: other jobs come first; expected to start 13:00"
    assert waiting_sentence(JOB, known, now) == said
    silent = known._replace(answered_at=now - 180, error="squeue did not answer")
    assert waiting_sentence(JOB, silent, now) == f"{said} (seen 3 min ago; Slurm does not answer)"
    assert waiting_sentence(JOB, Sights({}), now) == "Slurm job 7 is in Slurm's queue"
    assert waiting_sentence(JOB._replace(job_id=""), Sights({}), now) == "being submitted to Slurm"
