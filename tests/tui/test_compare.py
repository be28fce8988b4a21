"""Base and trained model side by side, in a real process on the tiny model; and the end of that process."""

import json
import os
import signal
import struct
import subprocess
import sys
import time
from array import array
from pathlib import Path

import psutil

from fttui.compare.both_models import BothModels
from fttui.widgets.answer_panel import wrapped
from fttui_engine.launch.inference import find_target
from fttui_engine.runs.run import Run
from fttui_engine.runs.states import State
from fttui_engine.spec.load import resolve
from fttui_engine.spec.resolved import write_spec

HIDDEN = 128
LAYERS = 2


def trained(make_run, name: str, *overrides: str) -> Run:
    """A finished run on the tiny model whose adapter was not trained, but changes a lot."""
    run = make_run(name, State.FINISHED)
    words = ["model_name_or_path=demo:tiny", "dataset=demo:instructions", "max_new_tokens=6", *overrides]
    write_spec(resolve(None, overrides=words), run.spec_path)
    folder = Path(run.read_plan().output_dir)
    folder.mkdir(parents=True, exist_ok=True)
    settings = {
        "peft_type": "LORA",
        "r": 1,
        "lora_alpha": 8,
        "target_modules": ["o_proj"],
        "task_type": "CAUSAL_LM",
    }
    (folder / "adapter_config.json").write_text(
        json.dumps({**settings, "base_model_name_or_path": "demo:tiny"})
    )
    write_adapter(folder / "adapter_model.safetensors")
    return run


def write_adapter(path: Path) -> None:
    """In the form of safetensors: the length of a table, the table, the numbers."""
    tensors = {}
    for layer in range(LAYERS):
        name = f"base_model.model.model.layers.{layer}.self_attn.o_proj"
        tensors[f"{name}.lora_A.weight"] = [1, HIDDEN]
        tensors[f"{name}.lora_B.weight"] = [HIDDEN, 1]
    table, size = {}, 4 * HIDDEN
    for place, (name, shape) in enumerate(tensors.items()):
        table[name] = {"dtype": "F32", "shape": shape, "data_offsets": [place * size, (place + 1) * size]}
    head = json.dumps(table).encode()
    numbers = array("f", [(-1) ** number * 3.0 for number in range(HIDDEN)] * len(tensors))
    path.write_bytes(struct.pack("<Q", len(head)) + head + numbers.tobytes())


def is_gone(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return True
    return state == "Z"


def until(condition, what: str) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.05)


async def test_both_models_answer_what_is_typed_and_what_a_file_asks(
    make_run, open_cockpit, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    Path("questions.txt").write_text("Name a colour.\n\nName a number.\n")
    trained(make_run, "asked")
    async with open_cockpit((120, 30)) as screen:
        await screen.press("enter")
        await screen.sees("asked  v finished")
        await screen.press("a")
        await screen.sees("Ask both:")
        # Typed while the models are still being loaded.
        await screen.press(*"Who?", "enter")
        await screen.sees("loading", "Base  demo:tiny", "Trained  asked (final result)")
        page = screen.cockpit.screen
        await screen.until(lambda: page._models.process is not None, "the process")
        pid = page._models.process.pid
        await screen.until(lambda: "ready on cpu" in screen.text, "the answers", seconds=120)
        first = page._exchanges.shown
        assert first.is_done and first.answers["base"] and first.answers["base"] != first.answers["tuned"]
        base, tuned = (page._panels[name].region for name in ("base", "tuned"))
        assert base.y == tuned.y and base.right <= tuned.x

        await screen.press("f", *"questions.txt", "enter")
        await screen.until(lambda: [each.is_done for each in page._exchanges.all] == [True] * 3, "all three")
        await screen.press("p", "p", "p")
        await screen.sees("question 1 of 3", "Who?")
        await screen.press("n")
        await screen.sees("question 2 of 3", "Name a colour.")
        await screen.press("w")
        await screen.hears("compare-asked")
        saved = [
            json.loads(line) for line in next(tmp_path.glob("compare-asked*.jsonl")).read_text().splitlines()
        ]
        assert [each["prompt"] for each in saved] == ["Who?", "Name a colour.", "Name a number."]
        assert set(saved[0]) == {"prompt", "base", "tuned"}

        await screen.pilot.resize_terminal(80, 24)
        await screen.until(
            lambda: page._panels["base"].region.bottom <= page._panels["tuned"].region.y, "one above"
        )
        await screen.press("escape")
        await screen.sees("asked  v finished")
        await screen.until(lambda: is_gone(pid), "the process to end")


async def test_a_run_that_has_no_model_yet_says_so(make_run, open_cockpit):
    make_run("young")
    make_run("other", kind="command")
    async with open_cockpit(select="young") as screen:
        await screen.press("enter")
        await screen.sees("young  > running")
        await screen.press("a")
        await screen.hears("young has not saved anything yet")
        await screen.press("escape")
    async with open_cockpit(select="other") as screen:
        await screen.press("enter")
        await screen.sees("other  > running")
        await screen.press("a")
        await screen.hears("there is no model to ask")


async def test_a_process_that_cannot_begin_is_told_of(make_run, open_cockpit):
    trained(make_run, "asked", "run.python=/bin/false")
    async with open_cockpit() as screen:
        await screen.press("enter")
        await screen.sees("asked  v finished")
        await screen.press("a", *"Who?", "enter")
        await screen.hears("The process with the models ended")
        await screen.sees("not loaded", "Who?", "not answered")
        await screen.press("f")
        await screen.hears("the next question loads them again")
        await screen.press("x")
        await screen.hears("Nothing is being written")
        await screen.press("escape")
        await screen.sees("asked  v finished")


HOLDER = """
import queue, sys, time
from fttui_engine.launch.inference import find_target
from fttui_engine.launch.side_by_side import SideBySide
heard = queue.Queue()
session = SideBySide(find_target(sys.argv[1]), heard.put)
heard.get(timeout=100)
print(session.pid, flush=True)
time.sleep(100)
"""


def test_the_models_go_with_the_program_that_showed_them(make_run, home):
    trained(make_run, "asked")
    assert find_target("asked").adapters
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, "asked"], stdout=subprocess.PIPE, env=os.environ
    ) as holder:
        pid = int(holder.stdout.readline())
        assert not is_gone(pid)
        os.kill(holder.pid, signal.SIGKILL)
    until(lambda: is_gone(pid), "the process with the models to end")


def test_models_that_come_up_late_neither_take_the_place_of_newer_ones_nor_stay(make_run, home, tmp_path):
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\nexec cat - >/dev/null\n")
    python.chmod(0o700)
    trained(make_run, "asked", f"run.python={python}")

    def holders() -> list[int]:
        children = psutil.Process().children()
        return [each.pid for each in children if each.status() != psutil.STATUS_ZOMBIE]

    before = set(holders())
    models = BothModels("asked", None, lambda heard, number: None)
    for _ in range(4):
        models.begin(cpu=True)
    until(lambda: models.process and set(holders()) - before == {models.process.pid}, "the last one alone")
    models.end()
    until(lambda: set(holders()) <= before, "all of them to be gone")


def test_answers_are_broken_at_words_and_keep_their_indentation():
    assert wrapped("one two three\n\n    code\n\n", 9) == ["one two", "three", "", "    code"]
    assert wrapped("\u4e2d" * 5, 8) == ["\u4e2d" * 4, "\u4e2d"]
    assert wrapped("a\x1b[31mb", 20) == ["ab"]
