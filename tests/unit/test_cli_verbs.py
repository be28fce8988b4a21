"""The command line on prepared run directories: shapes, exit codes, and words for every mistake."""

import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import fttui
import fttui_engine
from fttui_engine.runs.attempt import Outcome, Progress, Request
from fttui_engine.runs.checkpoints import seal
from fttui_engine.runs.home import ensure_home
from fttui_engine.runs.journal import ExitVerdict, Journal
from fttui_engine.runs.metrics import MetricsWriter
from fttui_engine.runs.run import Plan, Run, claim_run_folder, hidden_run_folder, new_run_folder
from fttui_engine.runs.states import State

SHOWN = {
    "id", "name", "kind", "state", "detail", "attempt", "phase", "step", "max_steps", "epoch", "loss",
    "tokens_per_second", "step_seconds", "eta_seconds", "created_at", "started_at", "ended_at", "updated_at",
    "stop_deadline", "pid", "keeper_pid", "supervisor_pid", "host", "exit", "checkpoints", "run_dir", "output_dir",
    "log_path", "gpus", "command", "slurm_job",
}  # fmt: skip


class Cli:
    def __init__(self, home: Path) -> None:
        self.home = home
        roots = [str(Path(package.__file__ or "").parents[1]) for package in (fttui_engine, fttui)]
        self.environment = {**os.environ, "FTTUI_HOME": str(home)}
        if not all(root.endswith("site-packages") for root in roots):
            self.environment["PYTHONPATH"] = os.pathsep.join(roots)

    def __call__(self, *words: str, code: int = 0, **options: Any) -> subprocess.CompletedProcess[str]:
        options = {"stdin": subprocess.DEVNULL, "env": self.environment, **options}
        command = [sys.executable, "-m", "fttui", *words]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, **options)
        assert "Traceback" not in done.stderr, done.stderr
        assert done.returncode == code, done
        return done

    def json(self, *words: str, code: int = 0) -> Any:
        return json.loads(self(*words, "--json", code=code).stdout, parse_constant=pytest.fail)


@pytest.fixture
def fttui_cli(tmp_path: Path) -> Cli:
    return Cli(tmp_path / "state")


@pytest.fixture
def make_run(fttui_cli: Cli):
    def make(name: str = "demo", state: State = State.FAILED, kind: str = "train") -> Run:
        ensure_home(fttui_cli.home)
        draft = new_run_folder(hidden_run_folder(fttui_cli.home))
        plan = Plan(name, kind, ["python", "train.py"], {}, "/", "", [0, 1], 60.0)

        def finish(run: Run) -> None:
            draft.write_plan(plan._replace(output_dir=str(run.checkpoints_dir)))

        run = claim_run_folder(name, draft.path, finish, fttui_cli.home)
        run.attempt(1).create(Request("scratch"))
        run.attempt(1).log_path.write_text("first line\n\x1b[31mlast\x1b[0m line \x1b]52;c;aGk=\x07\n")
        run.attempt(1).write_progress(
            Progress("train", 7, 10, 0.7, math.nan, 100.5, 0.5, 1.5, time.time(), 1)
        )
        verdict = ExitVerdict("exit_code", 3, None, "It broke.", "mend it")
        journal = Journal(run)
        journal.move(State.STARTING, "created", "Created.", attempt=1)
        journal.note(
            "attempt_started", "Started.", {"started_at": time.time(), "attempt_started_at": time.time()}
        )
        run.attempt(1).write_outcome(Outcome("failed", 7, 10, "It broke."))
        journal.move(state, str(state), "It ended.", exit=verdict, ended_at=time.time())
        return run

    return make


def test_show_has_the_documented_shape(fttui_cli: Cli, make_run) -> None:
    run = make_run()
    checkpoint = run.checkpoints_dir / "checkpoint-5"
    checkpoint.mkdir(parents=True)
    (checkpoint / "model.bin").write_bytes(b"12345")
    seal(checkpoint, 5, 1, {})
    shown = fttui_cli.json("show", "demo")
    assert set(shown) == SHOWN | {"notices"}
    assert {key: shown[key] for key in ("id", "state", "attempt", "step", "max_steps", "gpus", "pid", "loss")} == {
        "id": "demo", "state": "failed", "attempt": 1, "step": 7, "max_steps": 10, "gpus": [0, 1], "pid": None,
        "loss": "NaN",
    }  # fmt: skip
    assert shown["exit"] == {
        "kind": "exit_code",
        "code": 3,
        "signal": None,
        "message": "It broke.",
        "advice": "mend it",
    }
    assert shown["checkpoints"] == [{"step": 5, "path": str(checkpoint), "complete": True, "bytes": 5}]
    assert shown["run_dir"] == str(run.path)


def test_list_is_a_list_of_what_show_prints(fttui_cli: Cli, make_run) -> None:
    assert fttui_cli.json("ls") == []
    for name in ("alpha", "beta"):
        make_run(name)
    listed = fttui_cli.json("ls")
    assert [each["id"] for each in listed] == ["beta", "alpha"]
    assert listed[1] | {"notices": []} == fttui_cli.json("show", "alpha")


def test_events_and_metrics_print_one_object_a_line(fttui_cli: Cli, make_run) -> None:
    run = make_run()
    writer = MetricsWriter(run.metrics_path)
    for step, loss in ((1, 3.0), (2, math.inf), (2, 2.0)):
        writer.append({"step": step, "loss": loss})
    with run.events_path.open("ab") as file:
        file.write(b"garbled\n")
    events = [json.loads(line) for line in fttui_cli("events", "demo", "--json").stdout.splitlines()]
    assert [event["event"] for event in events] == ["created", "attempt_started", "failed"]
    metrics = [json.loads(line) for line in fttui_cli("metrics", "demo", "--json").stdout.splitlines()]
    assert [(point["step"], point["loss"]) for point in metrics] == [(1, 3.0), (2, 2.0)]
    assert "It ended." in fttui_cli("events", "demo").stdout
    assert "loss 2" in fttui_cli("metrics", "demo").stdout


def test_reconcile_and_locate_speak_json(fttui_cli: Cli, make_run) -> None:
    make_run()
    assert fttui_cli.json("reconcile") == []
    places = fttui_cli.json("locate")
    assert (places["home"], places["runs"]) == (str(fttui_cli.home), str(fttui_cli.home / "runs"))


def test_logs_are_inert(fttui_cli: Cli, make_run) -> None:
    make_run()
    assert fttui_cli("logs", "demo").stdout == "first line\nlast line \n"
    assert fttui_cli("logs", "demo", "-n", "1").stdout == "last line \n"
    assert fttui_cli("logs", "demo", "-f", "-n", "1").stdout == "last line \n"
    assert "no attempt 9" in fttui_cli("logs", "demo", "--attempt", "9", code=2).stderr
    assert "by rank 3" in fttui_cli("logs", "demo", "--rank", "3", code=2).stderr
    assert "exclude" in fttui_cli("logs", "demo", "-f", "--rank", "3", code=2).stderr


def test_closed_pipe_ends_quietly(fttui_cli: Cli, make_run) -> None:
    run = make_run()
    run.attempt(1).log_path.write_text("a line of some length\n" * 100_000)
    command = f"{sys.executable} -m fttui logs demo | head -1"
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {command}"],
        capture_output=True, text=True, env=fttui_cli.environment, timeout=30, check=False,
    )  # fmt: skip
    assert done.stdout == "a line of some length\n"
    assert done.stderr == ""
    assert done.returncode == 0


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_full_disk_behind_stdout_is_said(fttui_cli: Cli, make_run) -> None:
    make_run()
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "fttui", "ls"],
            stdout=full, stderr=subprocess.PIPE, text=True, env=fttui_cli.environment, timeout=30, check=False,
        )  # fmt: skip
    assert done.returncode == 1
    assert "No space left on device" in done.stderr
    assert "Traceback" not in done.stderr


def test_terminal_without_the_characters_shows_question_marks(fttui_cli: Cli, make_run) -> None:
    run = make_run()
    run.attempt(1).log_path.write_bytes("na\u00efve \u4f60\udcff\n".encode("utf-8", "surrogateescape"))
    fttui_cli.environment |= {"PYTHONIOENCODING": "ascii", "LC_ALL": "C"}
    assert fttui_cli("logs", "demo").stdout.startswith("na?ve ??")


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["show", "nowhere"], 3, "there is no run 'nowhere'"),
        (["logs", "../../etc"], 3, "there is no run"),
        (["stop", "demo"], 2, "not running: it is failed"),
        (["stop", "demo", "--now"], 2, "not running: it is failed"),
        (["resume", "demo", "--from", "3"], 2, "no whole checkpoint of step 3"),
        (["rm", "demo"], 2, "fttui rm --yes demo"),
        (["wait", "demo"], 4, "demo is failed. It broke.\n  mend it"),
        (["wait", "nowhere"], 3, "no run"),
        (["stpo", "demo"], 2, "did you mean stop?"),
        (["frobnicate"], 2, "fttui -h lists them"),
        (["show"], 2, "required: RUN"),
        (["logs", "demo", "-n", "-5"], 2, "'-5' is no whole number"),
        (["resume", "demo", "--from", "last"], 2, "'last' is no whole number"),
        (["resume", "demo", "--processes", "0"], 2, "'0' is no whole number of at least 1"),
        (["resume", "demo", "--gpus", "00"], 2, "'00' is neither a number of GPUs"),
        (["wait", "demo", "--timeout", "nan"], 2, "'nan' is no number of seconds"),
        (["start", "--profile", "demo", "--gpus", ""], 2, "names no GPU"),
        (["start"], 2, "nothing to start"),
        (["start", "--"], 2, "no command to start"),
        (["start", "--name", "../../x", "--", "true"], 2, "cannot be the name of a run"),
        (["start", "--name=-rf", "--", "true"], 2, "cannot be the name of a run"),
        (["start", "--name", "a\nb", "--", "true"], 2, "cannot be the name of a run"),
        (["start", "--name", "x" * 300, "--", "true"], 2, "cannot be the name of a run"),
        (["start", "--gpus", "0", "--", "true"], 2, "CUDA_VISIBLE_DEVICES"),
        (["start", "--profile", "demo", "--", "true"], 2, "takes no configuration"),
        (["start", "no-such-file.yaml"], 2, "no-such-file.yaml"),
        (["--frobnicate"], 2, "unrecognized"),
    ],
)  # fmt: skip
def test_mistake_is_named_with_its_exit_code_and_nothing_changes(
    fttui_cli: Cli, make_run, words: list[str], code: int, said: str
) -> None:
    make_run()
    before = sorted(fttui_cli.home.rglob("*"))
    done = fttui_cli(*words, code=code)
    assert said in done.stderr
    assert done.stdout == ""
    assert len(done.stderr) < 1000
    assert sorted(fttui_cli.home.rglob("*")) == before


def test_wait_says_how_it_ended(fttui_cli: Cli, make_run) -> None:
    for state, code in ((State.FINISHED, 0), (State.STOPPED, 0), (State.INTERRUPTED, 4), (State.PARKED, 4)):
        make_run(str(state), state)
        assert f"{state} is {state}" in fttui_cli("wait", str(state), code=code).stderr
    assert fttui_cli.json("wait", "finished")["state"] == "finished"


def test_what_has_no_effect_is_said_when_a_run_starts(fttui_cli: Cli, tmp_path: Path) -> None:
    config = tmp_path / "plain.yaml"
    config.write_text("run: {name: plain, command: ['true']}\nplot_loss: true\nseed: 3\n")
    said = fttui_cli("start", "plain.yaml", "--wait", cwd=tmp_path).stderr
    assert "without effect: " in said
    assert "plot_loss" in said


def test_gpus_are_not_chosen_for_a_program(fttui_cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "plain.yaml").write_text("run: {name: plain, command: ['true']}\n")
    said = fttui_cli("start", "plain.yaml", "--gpus", "none", code=2, cwd=tmp_path).stderr
    assert "CUDA_VISIBLE_DEVICES" in said
    assert fttui_cli.json("ls") == []


def test_a_file_name_in_a_message_cannot_drive_the_terminal(fttui_cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "dat\x1b[31m.jsonl").write_text("{}")
    words = (
        "start",
        "--set",
        "model_name_or_path=demo:tiny",
        "--set",
        "dataset=data.jsonl",
        "--profile",
        "demo",
    )
    said = fttui_cli(*words, code=2, cwd=tmp_path).stderr
    assert "Did you mean" in said
    assert "\x1b" not in said


def test_ctrl_c_ends_the_waiting_and_not_the_run(fttui_cli: Cli) -> None:
    words = [sys.executable, "-m", "fttui", "start", "--name", "long", "--wait", "--", "sleep", "60"]
    waiting = subprocess.Popen(
        words,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=fttui_cli.environment,
        # Tests that were started with & in a script inherit an ignored SIGINT, and so would this.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert waiting.stdout is not None
    assert waiting.stdout.readline() == "long\n"
    while fttui_cli.json("show", "long")["state"] == "starting":
        time.sleep(0.05)
    waiting.send_signal(signal.SIGINT)
    _, said = waiting.communicate(timeout=20)
    assert waiting.returncode == 130
    assert "long goes on; fttui stop long ends it" in said
    fttui_cli("stop", "long", "--now")
    fttui_cli("wait", "long", "--timeout", "20")


def test_ambiguous_beginning_names_the_runs(fttui_cli: Cli, make_run) -> None:
    for name in ("alpha", "alpine"):
        make_run(name)
    assert "alpha, alpine" in fttui_cli("show", "alp", code=2).stderr
    assert "id" in fttui_cli("show", "alph").stdout or True
    assert fttui_cli.json("show", "alph")["id"] == "alpha"


def test_rm_asks_and_deletes(fttui_cli: Cli, make_run) -> None:
    run = make_run()
    fttui_cli("rm", "demo", "--yes")
    assert not run.path.exists()
    fttui_cli("rm", "demo", "--yes", code=3)


def test_without_a_terminal_the_runs_are_listed_and_the_reason_said(fttui_cli: Cli, make_run) -> None:
    make_run()
    done = fttui_cli(code=2)
    assert "demo" in done.stdout
    assert "no terminal" in done.stderr


def test_version_and_help(fttui_cli: Cli) -> None:
    assert fttui_cli("--version").stdout.startswith("fttui ")
    help_text = fttui_cli("-h").stdout
    for verb in ("start", "ls", "show", "logs", "stop", "resume", "wait", "rm", "check", "gpus", "demo"):
        assert f"\n  {verb} " in help_text
    assert not fttui_cli.home.exists(), "looking at the help leaves nothing behind"


def test_unusable_state_folder_is_said_in_a_sentence(fttui_cli: Cli) -> None:
    fttui_cli.home.write_text("a file")
    assert "no runs yet" in fttui_cli("ls").stdout
    said = fttui_cli("start", "--", "true", code=2).stderr
    assert "FTTUI_HOME" in said
    assert str(fttui_cli.home) in said


HEAVY = ("torch", "textual", "numpy", "transformers", "accelerate", "datasets", "rich")
LIST_IMPORTS = """
import sys
from fttui.__main__ import main
sys.argv = ["fttui", *sys.argv[1:]]
code = main()
print(code, *sorted({name.partition(".")[0] for name in sys.modules}), file=sys.stderr)
"""


@pytest.mark.parametrize(
    "words", [["ls"], ["show", "demo"], ["logs", "demo"], ["start", "--", "true"], ["-h"]]
)
def test_light_verbs_import_nothing_heavy(fttui_cli: Cli, make_run, words: list[str]) -> None:
    make_run()
    done = subprocess.run(
        [sys.executable, "-c", LIST_IMPORTS, *words],
        capture_output=True, text=True, env=fttui_cli.environment, timeout=30, check=False,
    )  # fmt: skip
    modules = set(done.stderr.split())
    assert not modules & set(HEAVY)
    if words[0] in ("ls", "show", "start"):
        assert not modules & {
            "psutil",
            "yaml",
            "msgspec",
            "asyncio",
            "ssl",
            "hashlib",
            "subprocess",
            "shutil",
        }
    if words[0] == "start":
        fttui_cli("wait", "true")


@pytest.mark.parametrize(
    ("program", "words"),
    [
        ("no-such-program", "there is no program"),
        ("./missing.sh", "there is no program"),
        ("./plain.txt", "chmod"),
    ],
)
def test_program_that_cannot_be_run_is_refused_before_anything_starts(
    fttui_cli: Cli, tmp_path: Path, program: str, words: str
) -> None:
    (tmp_path / "plain.txt").write_text("no program")
    done = fttui_cli("start", "--", program, code=2, cwd=tmp_path)
    assert words in done.stderr
    assert program in done.stderr
    (tmp_path / "run.yaml").write_text(f"run:\n  command: [{program}]\n")
    assert words in fttui_cli("start", "run.yaml", code=2, cwd=tmp_path).stderr
    assert fttui_cli.json("ls") == []
