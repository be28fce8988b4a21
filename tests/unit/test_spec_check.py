"""``fttui check``, ``gpus`` and ``profiles`` as a user and a script see them."""

import json
import sys
from pathlib import Path

import pytest

from fttui.__main__ import main
from fttui_engine.spec.check import check
from fttui_engine.spec.load import resolve

FIELDS = {"key", "line", "found", "allowed", "suggestion", "message"}


def fttui(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr(sys, "argv", ["fttui", *words])
    return main()


@pytest.fixture
def bad(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.yaml").write_text(
        "model_name_or_path: demo:tiny\ndataset: demo:instructions\nlora_rnak: 8\nevaluation_strategy: no\n"
        "plot_loss: true\nlearning_rate: 1.5\n"
    )
    return tmp_path / "bad.yaml"


def test_json_verdict_is_the_documented_interface(
    bad: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fttui(monkeypatch, "check", "bad.yaml", "--json") == 2
    verdict = json.loads(capsys.readouterr().out)
    assert set(verdict) == {"ok", "errors", "warnings", "translated", "ignored", "memory", "disk", "resolved"}
    assert verdict["ok"] is False
    (error,) = verdict["errors"]
    assert set(error) >= FIELDS
    assert (error["key"], error["line"], error["suggestion"]) == ("lora_rnak", 3, "lora_rank")
    (warning,) = verdict["warnings"]
    assert set(warning) >= FIELDS
    (translated,) = verdict["translated"]
    assert (translated["from"], translated["to"], translated["line"]) == (
        "evaluation_strategy",
        "eval_strategy",
        4,
    )
    assert translated["why"]
    assert [item["key"] for item in verdict["ignored"]] == ["plot_loss"]
    assert set(verdict["memory"]) >= {"per_gpu", "host_bytes", "disk_bytes", "fits", "advice"}
    assert verdict["memory"]["reason"]
    assert verdict["resolved"]["lora_rank"] == 8


def test_text_verdict_gives_errors_first_with_file_and_line(
    bad: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fttui(monkeypatch, "check", "bad.yaml") == 2
    lines = capsys.readouterr().out.splitlines()
    kinds = [line.partition(":")[0] for line in lines]
    assert kinds[:4] == ["error", "warning", "read as", "no effect"]
    assert lines[0] == "error: bad.yaml:3: There is no key 'lora_rnak'. Did you mean lora_rank?"
    assert lines[-1] == "bad.yaml cannot be started: 1 error."


def test_a_good_configuration_exits_0(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fttui(monkeypatch, "check", "--profile", "demo", "--set", "max_steps=20") == 0
    assert "can be started" in capsys.readouterr().out
    assert fttui(monkeypatch, "check", "--profile", "demo", "--json") == 0
    assert json.loads(capsys.readouterr().out)["ok"] is True


def test_wrong_requests_exit_2_with_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for words in (["check"], ["check", "missing.yaml"], ["check", "--profile", "nope"], ["profiles", "nope"]):
        assert fttui(monkeypatch, *words) == 2
        answer = capsys.readouterr()
        assert len(answer.out + answer.err) > 20
        assert "Traceback" not in answer.err


def test_control_sequences_in_a_configuration_do_not_reach_the_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.yaml").write_text(
        '"\\e]0;owned\\a": 1\nlearning_rate: "\\e[2J"\ndataset: "\\e[31m.json"\n'
    )
    (tmp_path / "\x1b[2J.yaml").write_text("a: 1\n")
    fttui(monkeypatch, "check", "x.yaml")
    fttui(monkeypatch, "check", "\x1b[2J.yaml")
    assert "\x1b" not in capsys.readouterr().out


def test_secrets_of_the_environment_are_masked() -> None:
    overrides = ["model_name_or_path=demo:tiny", "dataset=demo:instructions", "run.environment.HF_TOKEN=hf_abc",
                 "run.environment.aws_secret_access_key=abc", "run.environment.LANG=C"]  # fmt: skip
    resolved = resolve(None, overrides=overrides)
    shown = check(resolved).to_json()["resolved"]["run"]["environment"]
    assert shown == {"HF_TOKEN": "***", "aws_secret_access_key": "***", "LANG": "C"}
    assert resolved.run.environment is not None
    assert resolved.run.environment["HF_TOKEN"] == "hf_abc", "the run itself gets the real value"


def test_profiles_are_listed_and_printed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fttui(monkeypatch, "profiles") == 0
    assert "single-24gb-lora" in capsys.readouterr().out
    assert fttui(monkeypatch, "profiles", "demo") == 0
    assert "model_name_or_path: demo:tiny" in capsys.readouterr().out
    assert fttui(monkeypatch, "profiles", "--json") == 0
    first = json.loads(capsys.readouterr().out)[0]
    assert first["name"] == "demo"
    assert set(first) == {"name", "path", "summary", "header", "hardware", "fits_here", "missing"}
