"""Stage ppo: what cannot work is refused before anything is loaded, what rests is named."""

import json
from pathlib import Path

import pytest

from fttui_engine.spec.load import resolve
from fttui_engine.spec.resolved import Resolved

ADAPTER = ("adapter_config.json", "value_head.safetensors")
WHOLE = ("config.json", "value_head.safetensors")


def resolve_ppo(folder: Path, *lines: str, rewards: tuple[str, ...] = ADAPTER, row: str = "") -> Resolved:
    (folder / "rewards").mkdir()
    for name in rewards:
        (folder / "rewards" / name).write_text("{}")
    (folder / "rows.jsonl").write_text(row or json.dumps({"prompt": "Hi"}))
    given = {line.partition(":")[0] for line in lines}
    base = {
        "model_name_or_path": "demo:tiny",
        "dataset": "rows.jsonl",
        "stage": "ppo",
        "reward_model": "rewards",
    }
    written = [*lines, *(f"{key}: {value}" for key, value in base.items() if key not in given)]
    (folder / "x.yaml").write_text("\n".join(written) + "\n")
    return resolve(Path("x.yaml"), cwd=folder)


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "Hi"},
        {"instruction": "Hi", "output": "Hello"},
        {"messages": [{"role": "user", "content": "Hi"}]},
    ],
)
def test_questions_need_no_answers(tmp_path: Path, row: dict[str, object]) -> None:
    resolved = resolve_ppo(tmp_path, row=json.dumps(row))
    assert resolved.findings.errors == []
    assert resolved.config is not None
    assert resolved.config.reward_model == str(tmp_path / "rewards")
    assert (resolved.config.ppo_epochs, resolved.config.ppo_target) == (4, 6.0)


@pytest.mark.parametrize(
    ("lines", "rewards", "key", "words"),
    [
        (["reward_model: null"], ADAPTER, "reward_model", "Train it with stage: rm"),
        (["reward_model: reward"], ADAPTER, "reward_model", "Did you mean"),
        ([], ("adapter_config.json",), "reward_model", "it has no value_head.safetensors"),
        ([], WHOLE, "reward_model_type", "reward_model_type: full"),
        (["reward_model_type: full"], ADAPTER, "reward_model_type", "leave reward_model_type out"),
        (["reward_model_type: api"], ADAPTER, "reward_model_type", "needs a later release"),
        (["val_size: 0.1", "eval_strategy: steps"], ADAPTER, "val_size", "evaluates nothing"),
        (
            ["run:", "  processes: 2", "  strategy: fsdp", "use_cpu: true"],
            ADAPTER,
            "run.strategy",
            "token by token",
        ),
        (["neftune_noise_alpha: 5"], ADAPTER, "neftune_noise_alpha", "compute what wrote them"),
        (["pissa_init: true"], ADAPTER, "pissa_init", "without its adapter"),
        (["num_beams: 4"], ADAPTER, "num_beams", "by chance"),
    ],
)
def test_what_cannot_work_is_refused_with_the_fix(
    lines: list[str], rewards: tuple[str, ...], key: str, words: str, tmp_path: Path
) -> None:
    (error,) = resolve_ppo(tmp_path, *lines, rewards=rewards).findings.errors
    assert (error.key, words in error.message) == (key, True), error.message


def test_several_processes_may_each_have_the_whole_model(tmp_path: Path) -> None:
    resolved = resolve_ppo(tmp_path, "run:", "  processes: 2", "use_cpu: true", rewards=ADAPTER)
    assert resolved.findings.errors == []


def test_a_whole_reward_model_is_accepted(tmp_path: Path) -> None:
    resolved = resolve_ppo(
        tmp_path, "reward_model_type: full", "reward_model_quantization_bit: 4", rewards=WHOLE
    )
    assert resolved.findings.errors == []


def test_data_without_questions_is_refused(tmp_path: Path) -> None:
    (error,) = resolve_ppo(tmp_path, row=json.dumps({"text": "Hi"})).findings.errors
    assert "has no questions; its columns are text: stage: ppo takes questions" in error.message


@pytest.mark.parametrize(
    ("line", "key"),
    [
        ("reward_model_quantization_bit: 4", "reward_model_quantization_bit"),
        ("do_sample: false", "do_sample"),
        ("lora_dropout: 0.1", "lora_dropout"),
        ("pref_beta: 0.2", "pref_beta"),
        ("train_on_prompt: true", "train_on_prompt"),
        ("stage: sft", "reward_model"),
    ],
)
def test_what_has_no_effect_is_named(line: str, key: str, tmp_path: Path) -> None:
    row = json.dumps({"instruction": "Hi", "output": "Hello"})
    resolved = resolve_ppo(tmp_path, line, row=row)
    assert resolved.findings.errors == []
    assert key in [warning.key for warning in resolved.findings.warnings]
