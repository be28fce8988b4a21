"""The keys and the data of the preference stages: what cannot work is refused, what rests is named."""

import json
from pathlib import Path

import pytest

from fttui_engine.spec.load import resolve
from fttui_engine.spec.resolved import Resolved

PAIR = {"prompt": "Hi", "chosen": "Hello", "rejected": "What"}
TAGGED = {"prompt": "Hi", "completion": "Hello", "label": True}
ANSWER = {"instruction": "Hi", "output": "Hello"}


def resolve_stage(folder: Path, stage: str, *lines: str, row: dict[str, object] | None = None) -> Resolved:
    usual: dict[str, object] = {**TAGGED} if stage == "kto" else {**ANSWER} if stage == "sft" else {**PAIR}
    (folder / "rows.jsonl").write_text(json.dumps(row or usual) + "\n")
    given = {line.partition(":")[0] for line in lines}
    base = {"model_name_or_path": "demo:tiny", "dataset": "rows.jsonl", "stage": stage}
    written = [*lines, *(f"{key}: {value}" for key, value in base.items() if key not in given)]
    (folder / "x.yaml").write_text("\n".join(written) + "\n")
    return resolve(Path("x.yaml"), cwd=folder)


@pytest.mark.parametrize("stage", ["rm", "dpo", "kto"])
def test_each_stage_is_accepted_with_its_data(stage: str, tmp_path: Path) -> None:
    resolved = resolve_stage(tmp_path, stage)
    assert resolved.findings.errors == []
    assert resolved.config is not None
    assert resolved.config.stage == stage
    assert (resolved.config.pref_beta, resolved.config.pref_loss, resolved.config.ld_alpha) == (
        0.1,
        "sigmoid",
        None,
    )


@pytest.mark.parametrize(
    ("stage", "row", "words"),
    [
        ("dpo", ANSWER, "has no pairs of answers; its columns are instruction, output: stages rm and dpo"),
        ("rm", TAGGED, "has no pairs of answers"),
        ("kto", ANSWER, "has no tagged answers"),
        ("kto", PAIR, "has no tagged answers"),
        ("sft", PAIR, "stage: dpo and stage: rm learn from them"),
    ],
)
def test_data_of_another_stage_is_refused_with_the_fix(
    stage: str, row: dict[str, object], words: str, tmp_path: Path
) -> None:
    (error,) = resolve_stage(tmp_path, stage, row=row).findings.errors
    assert (error.key, words in error.message) == ("dataset", True), error.message


@pytest.mark.parametrize(
    ("stage", "entry", "words"),
    [
        ("dpo", {"ranking": True, "columns": {"prompt": "a", "chosen": "b", "rejected": "c"}}, None),
        ("dpo", {}, "add ranking: true"),
        ("sft", {"ranking": True}, "use stage: dpo or rm"),
        ("kto", {"columns": {"prompt": "a", "response": "b", "kto_tag": "c"}}, None),
        ("kto", {"columns": {"prompt": "a", "response": "b"}}, "the kto_tag"),
    ],
)
def test_entries_of_dataset_info_fit_the_stage(
    stage: str, entry: dict[str, object], words: str | None, tmp_path: Path
) -> None:
    row = {"a": "Hi", "b": "Hello", "c": "What"}
    (tmp_path / "dataset_info.json").write_text(json.dumps({"mine": {"file_name": "rows.jsonl", **entry}}))
    errors = resolve_stage(tmp_path, stage, "dataset: mine", "dataset_dir: .", row=row).findings.errors
    assert [error.key for error in errors] == ([] if words is None else ["dataset"])
    assert all(words in error.message for error in errors if words)


def test_the_demo_has_no_answers_to_compare(tmp_path: Path) -> None:
    (error,) = resolve_stage(tmp_path, "dpo", "dataset: demo:instructions").findings.errors
    assert error.suggestion == "stage: sft"


@pytest.mark.parametrize(
    ("lines", "key", "words"),
    [
        (["pref_loss: dpo"], "pref_loss", "sigmoid"),
        (["pref_beta: 0"], "pref_beta", "above 0"),
        (["dpo_label_smoothing: 0.6"], "dpo_label_smoothing", "0.5"),
        (["pref_loss: ipo", "dpo_label_smoothing: 0.1"], "dpo_label_smoothing", "pref_loss is ipo"),
        (["ld_alpha: 2"], "ld_alpha", "at most 1"),
        (["ref_model: ./nowhere"], "ref_model", "There is no model"),
        (["ref_model: demo:big"], "ref_model", "demo:tiny"),
        (["ref_model_adapters: a"], "ref_model_adapters", "without ref_model"),
        (["ref_model: demo:tiny", "ref_model_adapters: ./nowhere"], "ref_model_adapters", "no adapter"),
        (["ref_model_quantization_bit: 4"], "ref_model_quantization_bit", "without ref_model"),
    ],
)
def test_what_cannot_work_is_an_error(lines: list[str], key: str, words: str, tmp_path: Path) -> None:
    (error,) = resolve_stage(tmp_path, "dpo", *lines).findings.errors
    assert error.key == key
    assert words in error.message


@pytest.mark.parametrize(
    ("stage", "lines", "key"),
    [
        ("sft", ["pref_beta: 0.2"], "pref_beta"),
        ("rm", ["ref_model: demo:tiny"], "ref_model"),
        ("kto", ["simpo_gamma: 1"], "simpo_gamma"),
        ("dpo", ["kto_chosen_weight: 2"], "kto_chosen_weight"),
        ("dpo", ["simpo_gamma: 1"], "simpo_gamma"),
        ("dpo", ["pref_loss: orpo", "ref_model: demo:tiny"], "ref_model"),
        ("dpo", ["pref_loss: simpo", "pref_bco_weight: 1"], "pref_bco_weight"),
        ("dpo", ["lora_dropout: 0.1"], "lora_dropout"),
        ("kto", ["train_on_prompt: true"], "train_on_prompt"),
        ("rm", ["label_smoothing_factor: 0.1"], "label_smoothing_factor"),
        ("dpo", ["packing: true"], "packing"),
    ],
)
def test_what_has_no_effect_is_a_warning(stage: str, lines: list[str], key: str, tmp_path: Path) -> None:
    findings = resolve_stage(tmp_path, stage, *lines).findings
    assert findings.errors == []
    assert [warning.key for warning in findings.warnings if "no effect" in warning.message] == [key]


def test_going_on_from_an_adapter_says_what_the_reference_is(tmp_path: Path) -> None:
    (tmp_path / "adapter").mkdir()
    (tmp_path / "adapter" / "adapter_config.json").write_text("{}")
    (tmp_path / "adapter" / "adapter_model.safetensors").write_text("")
    line = "adapter_name_or_path: adapter"

    def warned(*lines: str) -> bool:
        warnings = resolve_stage(tmp_path, "dpo", line, *lines).findings.warnings
        return any("without the adapter" in warning.message for warning in warnings)

    assert warned()
    assert not warned("create_new_adapter: true")
    assert not warned("pref_loss: simpo")
    assert not warned("ref_model: demo:tiny")


def test_the_reference_model_is_found_from_any_folder(tmp_path: Path) -> None:
    (tmp_path / "reference").mkdir()
    resolved = resolve_stage(tmp_path, "dpo", "ref_model: reference")
    assert resolved.values["ref_model"] == str(tmp_path / "reference")
