"""From a training to what it is for, through the command line: chat, compare, predict, export."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import fttui
import fttui_engine
from fttui_engine.runs.logs import plain_text

CONFIG = """
model_name_or_path: demo:tiny
dataset: demo:instructions
use_cpu: true
max_steps: 12
learning_rate: 0.02
cutoff_len: 128
save_steps: 6
logging_steps: 6
val_size: 4
do_predict: true
max_new_tokens: 8
"""


class Cli:
    def __init__(self, folder: Path) -> None:
        roots = [str(Path(package.__file__ or "").parents[1]) for package in (fttui_engine, fttui)]
        self.folder = folder
        self.environment = {**os.environ, "FTTUI_HOME": str(folder / "home"), "CUDA_VISIBLE_DEVICES": ""}
        if not all(root.endswith("site-packages") for root in roots):
            self.environment["PYTHONPATH"] = os.pathsep.join(roots)

    def __call__(self, *words: str, code: int = 0, typed: str = "") -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-m", "fttui", *words],
            env=self.environment, cwd=self.folder, input=typed, capture_output=True, text=True, timeout=240, check=False,
        )  # fmt: skip
        assert "Traceback" not in done.stderr, done.stderr
        assert done.returncode == code, done
        return done


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Cli:
    cli = Cli(tmp_path_factory.mktemp("use"))
    (cli.folder / "demo.yaml").write_text(CONFIG)
    cli("start", "demo.yaml", "--name", "demo", "--wait")
    return cli


def output_dir(cli: Cli) -> Path:
    return Path(json.loads(cli("show", "demo", "--json").stdout)["output_dir"])


def test_what_was_trained_is_used(trained: Cli) -> None:
    lines = (output_dir(trained) / "generated_predictions.jsonl").read_text().splitlines()
    assert len(lines) == 4, "do_predict answers the evaluation data"
    results = json.loads((output_dir(trained) / "predict_results.json").read_text())
    assert results["predict_samples"] == 4
    assert "predict_rouge-l" in results

    chat = trained(
        "chat", "demo", "--set", "do_sample=false",
        typed="What is 2 and 2?\n/clear\n/adapter off\nWhat is 2 and 2?\n/wrong\n/save talk.jsonl\n/exit\nnever asked\n",
    )  # fmt: skip
    assert "final result" in chat.stderr
    assert "no command /wrong" in chat.stderr
    assert len(json.loads((trained.folder / "talk.jsonl").read_text())["messages"]) == 2

    (trained.folder / "questions.txt").write_text("What is 2 and 2?\n")
    compared = trained("compare", "demo", "--prompts", "questions.txt", "--json")
    (answer,) = map(json.loads, compared.stdout.splitlines())
    assert answer["base"] != answer["tuned"]
    # With the adapter first, without it then; and nothing else on stdout.
    said = chat.stdout.split()
    assert said == plain_text(f"{answer['tuned']} {answer['base']}").split()

    # LLaMA-Factory's form of an export, by a configuration that names base and adapter.
    (trained.folder / "export.yaml").write_text(
        f"model_name_or_path: demo:tiny\nadapter_name_or_path: {output_dir(trained)}/checkpoint-6\n"
        "template: default\nexport_dir: merged\nexport_size: 2\nexport_device: cpu\nexport_legacy_format: false\n"
    )
    report: dict[str, Any] = json.loads(trained("export", "export.yaml", "--json").stdout)
    assert report["same_next_token"] == 1.0
    assert (trained.folder / "merged" / "model.safetensors").is_file()
    again = trained("export", "export.yaml", code=2)
    assert "already there" in again.stderr


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("chat", "nobody"), 3, "no run"),
        (("chat", "./nowhere"), 2, "no folder"),
        (("chat", "demo", "--checkpoint", "7"), 2, "it has: 6, 12"),
        (("chat", "demo", "--set", "temperature=-1"), 2, "temperature must be a number above 0"),
        (("export", "demo"), 2, "--to FOLDER"),
        (("compare", "demo:tiny", "--prompts", "demo.yaml"), 2, "--base MODEL"),
        (("predict", "demo:tiny"), 2, "--data FILE"),
        (("predict", "demo", "--data", "none.jsonl"), 2, "no file"),
    ],
)
def test_a_wrong_wish_is_answered_before_anything_is_loaded(
    trained: Cli, words: tuple[str, ...], code: int, said: str
) -> None:
    done = trained(*words, code=code)
    assert said in done.stderr
    assert "loading" not in done.stderr
