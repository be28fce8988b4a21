"""The editor in a real terminal: the user's own editor and back, the plug pulled, a run started, bytes on the wire."""

import json
import sys
import time
from pathlib import Path

import pytest

from fttui.editor.drafts import drafts_folder
from fttui_engine.runs.run import all_runs
from fttui_engine.runs.summary import summarize
from real_terminal import Terminal

TEXT = (
    "model_name_or_path: demo:tiny\ndataset: demo:instructions\nlora_rank: 8  # small\nrun:\n  gpus: none\n"
)
F4, F5, CTRL_S, CTRL_T = "\x1bOS", "\x1b[15~", "\x13", "\x14"

OWN_EDITOR = """\
import sys
from pathlib import Path
path = Path(sys.argv[1])
print("THIS IS ANOTHER EDITOR", path.name, flush=True)
path.write_text(path.read_text().replace("lora_rank: 8", "lora_rank: 32"))
input()
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "mine.yaml"
    path.write_text(TEXT)
    return path


def editing(file: Path, home: Path, **options: object) -> Terminal:
    return Terminal(home, [sys.executable, "-m", "fttui", "edit", str(file)], **options)


def test_the_users_own_editor_has_the_terminal_and_its_text_comes_back(file, home, tmp_path):
    script = tmp_path / "own editor.py"
    script.write_text(OWN_EDITOR)
    with editing(
        file, home, environment={"EDITOR": f"{sys.executable} '{script}'", "VISUAL": ""}
    ) as terminal:
        terminal.sees("Set and common keys", "can be started")
        terminal.press(F4)
        terminal.sees("THIS IS ANOTHER EDITOR mine.yaml")
        terminal.press("\n")
        terminal.sees("not saved", "lora_rank", "32")
        terminal.press(CTRL_S)
        terminal.sees("Saved.")
        assert file.read_text() == TEXT.replace("8", "32")
        terminal.press("q")
        assert terminal.ends_within(5.0) == 0
    assert list(drafts_folder(home).iterdir()) == []


def test_what_was_typed_when_the_terminal_vanished_comes_back(file, home):
    with editing(file, home) as terminal:
        terminal.sees("Set and common keys", "can be started")
        terminal.press(CTRL_T)
        terminal.sees("Line ")
        terminal.press("# typed in a train ")
        terminal.sees("# typed in a train")
        deadline = time.monotonic() + 10
        while not any("in a train" in each.read_text() for each in drafts_folder(home).glob("*.json")):
            assert time.monotonic() < deadline, "no draft"
            terminal.read(0.05)
        terminal.vanish()
        terminal.ends_within(5.0)
    assert file.read_text() == TEXT
    with editing(file, home) as terminal:
        terminal.sees("An unsaved draft", "restore")
        terminal.press("\r")
        terminal.sees("not saved")
        terminal.press(CTRL_S)
        terminal.sees("Saved.")
        assert "# typed in a train" in file.read_text()
        terminal.read(7.0)
        # Nothing changes, so nothing is sent: no cursor blinks, and no screen behind is painted.
        assert len(terminal.read(2.0)) <= 500
        before = len(terminal.received)
        terminal.press("jjjjj")
        terminal.read(1.0)
        assert (len(terminal.received) - before) / 5 <= 3_000


def test_a_run_is_started_from_what_is_shown_and_the_dashboard_shows_it(home, tmp_path):
    file = tmp_path / "program.yaml"
    file.write_text("run:\n  name: told\n  command: [echo, hello]\n")
    with editing(file, home) as terminal:
        terminal.sees("Set and common keys", "can be started")
        terminal.press(F5)
        terminal.sees("Name of the run", "told")
        terminal.press("\r")
        terminal.sees("STATE", "finished")
        terminal.press("q")
        assert terminal.ends_within(5.0) == 0
    (run,) = all_runs(home)
    assert summarize(run).id == "told"
    assert json.loads((run.path / "plan.json").read_text())["argv"] == ["echo", "hello"]
