"""The completion scripts, in the real shells."""

import contextlib
import io
from argparse import Namespace

import pytest

from fttui.cli.completions import print_completions
from fttui_engine.runs.states import State
from real_terminal import Terminal

SHELLS = {
    "bash": ["bash", "--norc", "--noprofile", "-i"],
    "zsh": ["zsh", "-f", "-i"],
    "fish": ["fish", "--no-config", "--private"],
}
PREPARATION = {
    "bash": "PS1='$ '; source {script}",
    "zsh": "PS1='$ '; autoload -Uz compinit && compinit -u -D && source {script}",
    "fish": "function fish_prompt; echo -n '$ '; end; source {script}",
}


@pytest.fixture
def script(tmp_path, request):
    shell = request.getfixturevalue("shell")
    text = io.StringIO()
    with contextlib.redirect_stdout(text):
        print_completions(Namespace(shell=shell))
    path = tmp_path / "script"
    path.write_text(text.getvalue())
    return path


@pytest.mark.parametrize("shell", SHELLS)
def test_tab_completes_verbs_options_runs_pages_and_files(shell, script, home, make_run, tmp_path):
    make_run("zebra-7b", State.FINISHED)
    (tmp_path / "quagga config.yaml").write_text("stage: sft\n")
    environment = {"HOME": str(tmp_path), "SHELL": shell, "PWD": str(tmp_path), "fish_greeting": ""}
    with Terminal(home, SHELLS[shell], size=(100, 40), environment=environment) as terminal:
        terminal.read(0.5)
        terminal.press(f"cd {tmp_path}; {PREPARATION[shell].format(script=script)}; echo rea''dy\n")
        terminal.sees("ready")
        for typed, completed in (
            ("fttui reconc\t", "fttui reconcile"),
            ("fttui --read\t", "fttui --read-only"),
            ("fttui show --js\t", "fttui show --json"),
            ("fttui show zeb\t", "fttui show zebra-7b"),
            ("fttui run zebra-7b chec\t", "fttui run zebra-7b checkpoints"),
            ("fttui start --profile dem\t", "fttui start --profile demo"),
            ("fttui logs -n 5 zeb\t", "fttui logs -n 5 zebra-7b"),
            ("fttui check quag\t", "fttui check quagga\\ config.yaml"),
        ):
            terminal.press(typed)
            terminal.sees(f"$ {completed}")
            # What stands there is wiped out and not run: there may be no fttui on the path.
            terminal.press("\x15clear\n")
            terminal.until(lambda gone=completed: gone not in terminal.text, "an empty line")
