"""The doctor: what hangs is named, what is wrong has a way out, and the exit code says how bad it is."""

import json
import os
import resource
import subprocess
import sys
import time
import venv
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from fttui_engine.doctor import disk, limits, session
from fttui_engine.doctor.examination import Examination
from fttui_engine.doctor.finding import Check, Finding, Health, Level, health
from real_terminal import Terminal

NO_DRIVER = {"LD_LIBRARY_PATH": "", "TERM": "xterm-256color"}


def doctor(*words: str, **environment: str) -> tuple[dict[str, Any], int]:
    answer = subprocess.run(
        [sys.executable, "-m", "fttui", "doctor", "--json", *words],
        env={**os.environ, **environment}, capture_output=True, text=True, timeout=200, check=False,
    )  # fmt: skip
    assert answer.stderr == ""
    return dict(json.loads(answer.stdout)), answer.returncode


def of(answer: dict[str, Any], subject: str) -> list[dict[str, Any]]:
    return [finding for finding in answer["findings"] if finding["subject"] == subject]


def levels(findings: list[Finding]) -> set[Level]:
    return {finding.level for finding in findings}


def test_a_check_that_hangs_and_one_that_breaks_are_findings_and_hide_nothing() -> None:
    never, given_up = Event(), Event()

    def hangs() -> list[Finding]:
        never.wait()
        return []

    def breaks() -> list[Finding]:
        raise ValueError("no such luck")

    started = time.monotonic()
    checks = [
        Check("slow", hangs, 0.3, given_up.set),
        Check("broken", breaks),
        Check("good", lambda: [Finding("good", "ok", "fine")]),
    ]
    examination = Examination(checks)
    assert "slow" in examination.pending()
    slow, broken, good = examination.wait()
    assert time.monotonic() - started < 5
    assert "no answer within" in slow.text
    assert "no such luck" in broken.text
    assert good == Finding("good", "ok", "fine")
    assert health((slow, broken, good)) is Health.WARNINGS
    examination.close()
    assert given_up.is_set()
    never.set()


def test_the_exit_code_is_that_of_the_worst_finding() -> None:
    def so(*levels: Level) -> Health:
        return health(Finding("", level, "") for level in levels)

    assert (so(), so("ok", "note"), so("ok", "warning"), so("warning", "problem", "ok")) == (0, 0, 1, 2)


def test_everything_is_looked_at_here_and_each_trouble_has_a_way_out(tmp_path: Path) -> None:
    answer, code = doctor(FTTUI_HOME=str(tmp_path / "state"), OMP_NUM_THREADS="4000", **NO_DRIVER)
    assert code == {"well": 0, "warnings": 1, "cannot_train": 2}[answer["health"]]
    subjects = {finding["subject"] for finding in answer["findings"]}
    expected = {
        "fttui",
        "torch",
        "packages",
        "bitsandbytes",
        "state folder",
        "disk",
        "disk speed",
        "shared memory",
    }
    assert expected | {"host", "threads", "logout", "terminal"} <= subjects
    assert all(each["fix"] for each in answer["findings"] if each["level"] in ("warning", "problem"))
    (threads,) = of(answer, "threads")
    assert threads["level"] == "warning"
    assert "unset OMP_NUM_THREADS" in threads["fix"]
    assert of(answer, "packages")[0]["text"].startswith("transformers ")
    assert of(answer, "bitsandbytes")[0]["level"] == "ok"
    assert not list((tmp_path / "state" / "runs").iterdir()), "the trial of the disk leaves nothing"


def test_a_python_that_cannot_train_is_what_prevents_training(tmp_path: Path) -> None:
    venv.create(tmp_path / "bare", symlinks=True)
    bare = tmp_path / "bare" / "bin" / "python"
    answer, code = doctor("--python", str(bare), FTTUI_HOME=str(tmp_path / "state"))
    assert (code, answer["health"]) == (2, "cannot_train")
    (torch,) = of(answer, "torch")
    assert torch["level"] == "problem"
    assert "No module named 'torch'" in torch["text"]
    assert "pip install" in torch["fix"]
    answer, code = doctor("--python", str(tmp_path / "nothing"), FTTUI_HOME=str(tmp_path / "state"))
    assert (code, of(answer, "torch")[0]["fix"]) == (2, "correct run.python, or what --python says")
    crash = tmp_path / "crash"
    crash.write_text("#!/bin/sh\necho 'Illegal instruction' >&2; kill -ILL $$\n")
    crash.chmod(0o755)
    answer, code = doctor("--python", str(crash), FTTUI_HOME=str(tmp_path / "state"))
    assert (code, "Illegal instruction" in of(answer, "torch")[0]["text"]) == (2, True)


def test_a_state_folder_that_others_may_read_or_that_cannot_be_made_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "state"
    monkeypatch.setenv("FTTUI_HOME", str(home))
    assert levels(disk.look_at_home()) <= {"ok", "note"}
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("FTTUI_HOME", str(tmp_path / "file" / "state"))
    (finding,) = disk.look_at_home()
    assert finding.level == "problem"
    assert "FTTUI_HOME" in finding.fix
    monkeypatch.setenv("FTTUI_HOME", "/dev/shm/fttui-doctor-test")
    try:
        in_memory = [each for each in disk.look_at_home() if "in memory" in each.text]
    finally:
        subprocess.run(["rm", "-rf", "/dev/shm/fttui-doctor-test"], check=True)
    assert [each.level for each in in_memory] == ["warning"]


def test_the_speed_of_a_disk_is_measured_within_bounds_and_leaves_nothing(tmp_path: Path) -> None:
    started = time.monotonic()
    assert disk.write_speed(tmp_path) > 0
    assert time.monotonic() - started < 60
    assert not list(tmp_path.iterdir())


def test_limits_of_the_account_are_told_with_the_command_that_lifts_them() -> None:
    script = (
        "from fttui_engine.doctor.limits import look_at_limits\nfor each in look_at_limits(): print(each)"
    )
    answer = subprocess.run(
        [sys.executable, "-c", script],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (256, 1024)),
        env={**os.environ, "OMP_NUM_THREADS": "two"}, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert "only 256 at a time" in answer
    assert "ulimit -n 1024" in answer
    assert "OMP_NUM_THREADS is 'two'" in answer


def test_what_a_container_may_use_is_read_from_its_cgroup_and_those_above(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = Path("/proc/self/cgroup").read_text().splitlines()[-1].split(":", 2)[2].lstrip("/")
    (tmp_path / own).mkdir(parents=True, exist_ok=True)
    monkeypatch.setattr(limits, "CGROUPS", tmp_path)
    assert (limits.memory_limit(), limits.cpu_quota()) == (None, None)
    (tmp_path / own / "memory.max").write_text("max\n")
    (tmp_path / own / "cpu.max").write_text("max 100000\n")
    assert (limits.memory_limit(), limits.cpu_quota()) == (None, None)
    (tmp_path / "memory.max").write_text(f"{2 << 30}\n")
    (tmp_path / "cpu.max").write_text("50000 100000\n")
    assert (limits.memory_limit(), limits.cpu_quota()) == (2 << 30, 0.5)
    texts = " ".join(each.text + each.fix for each in limits.look_at_host())
    assert "0.5 CPUs at a time" in texts
    assert "may use 2.0 GiB of memory" in texts


@pytest.mark.parametrize(
    ("kills", "lingers", "level", "words"),
    [
        ("no", "no", "ok", "runs stay"),
        ("yes", "no", "warning", "loginctl enable-linger"),
        ("yes", "yes", "warning", "systemd-run --user --scope"),
    ],
)
def test_a_machine_that_kills_at_logout_is_named(
    kills: str, lingers: str, level: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "loginctl"
    program.write_text(
        "#!/bin/sh\n"
        f'case "$*" in *KillUserProcesses*) echo KillUserProcesses={kills};; *Linger*) echo Linger={lingers};; esac\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    (finding,) = session.look_at_session()
    assert finding.level == level
    assert words in finding.text + finding.fix


@pytest.mark.parametrize(
    ("environment", "size", "words"),
    [
        ({"TERM": "dumb"}, (80, 24), "cannot show the screens"),
        (
            {"TERM": "xterm-256color", "COLORTERM": "truecolor", "LC_ALL": "C.UTF-8"},
            (100, 30),
            "100x30, all colours",
        ),
        ({"TERM": "xterm-256color", "LC_ALL": "C.UTF-8", "COLORTERM": ""}, (60, 20), "from 80x24 on"),
    ],
)
def test_the_terminal_is_judged_by_what_it_says_of_itself(
    environment: dict[str, str], size: tuple[int, int], words: str
) -> None:
    script = "from fttui.terminal_findings import look_at_terminal\nfor each in look_at_terminal(): print(each.text, each.fix)"
    with Terminal(argv=(sys.executable, "-c", script), size=size, environment=environment) as terminal:
        terminal.process.wait(timeout=30)
        terminal.read(0.2)
        assert words in " ".join(terminal.text.split())


def test_a_folder_that_is_shared_on_purpose_is_not_to_be_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """FTTUI_HOME=/tmp: "chmod 700 /tmp" would lock everybody out."""
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o1777)
    monkeypatch.setenv("FTTUI_HOME", str(shared))
    assert levels(disk.look_at_home()) == {"ok"}
    assert not any("chmod" in each.fix for each in disk.look_at_home())
    (shared / "runs").chmod(0o755)
    assert levels(disk.look_at_home()) == {"ok"}, "it is ours, and made private again"
