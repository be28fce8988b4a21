"""Other losses, optimizers and orders: what cannot go together is refused, what rests is named."""

from pathlib import Path

import pytest

from fttui_engine.spec.load import resolve

BASE = ["model_name_or_path=demo:tiny", "dataset=demo:instructions", "use_cpu=true"]
GROUPED = "train_sampling_strategy=group_by_length"


@pytest.mark.parametrize(
    ("overrides", "key", "words"),
    [
        (["use_dft_loss=true", "use_eaft_loss=true"], "use_eaft_loss", "exclude each other"),
        (["use_muon=true", "loraplus_lr_ratio=16"], "use_muon", "exclude each other"),
        (["use_muon=true", "run.processes=2", "run.strategy=fsdp"], "use_muon", "needs whole matrices"),
        ([GROUPED, "disable_shuffling=true"], "train_sampling_strategy", "exclude each other"),
        (["use_llama_pro=true", "finetuning_type=full"], "use_llama_pro", "freeze or lora"),
        (["use_llama_pro=true", "freeze_trainable_layers=-2"], "freeze_trainable_layers", "at least 1"),
        ([GROUPED, "stage=dpo"], "train_sampling_strategy", "use random"),
    ],
)
def test_what_cannot_go_together_is_refused(overrides: list[str], key: str, words: str) -> None:
    errors = {
        error.key: error.message for error in resolve(None, overrides=[*BASE, *overrides]).findings.errors
    }
    assert words in errors[key]


@pytest.mark.parametrize(
    ("overrides", "key"),
    [
        (["eaft_alpha=2"], "eaft_alpha"),
        (["use_dft_loss=true", "chunked_loss=true"], "chunked_loss"),
        (["use_dft_loss=true", "label_smoothing_factor=0.1"], "label_smoothing_factor"),
        (["use_muon=true", "optim=sgd"], "optim"),
        ([GROUPED, "packing=true"], "train_sampling_strategy"),
    ],
)
def test_what_has_no_effect_is_named(overrides: list[str], key: str) -> None:
    findings = resolve(None, overrides=[*BASE, *overrides]).findings
    assert findings.errors == []
    assert [warning.key for warning in findings.warnings if "no effect" in warning.message] == [key]


def test_the_spelling_of_transformers_4_is_understood() -> None:
    resolved = resolve(None, overrides=[*BASE, "group_by_length=true"])
    assert resolved.ok
    assert resolved.values["train_sampling_strategy"] == "group_by_length"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("- a", "does not describe new tokens"),
        ("'<a>': 3", "does not describe new tokens"),
        ("'<a>: b", "is no YAML"),
        (None, "cannot be read: No such file"),
        ("'<a>': the letter a", ""),
    ],
)
def test_a_file_of_new_marks_is_read_before_the_start(
    content: str | None, words: str, tmp_path: Path
) -> None:
    if content is not None:
        (tmp_path / "marks.yaml").write_text(content)
    overrides = [*BASE, "new_special_tokens_config=marks.yaml", "init_special_tokens=desc_init"]
    errors = [error.message for error in resolve(None, overrides=overrides, cwd=tmp_path).findings.errors]
    assert len(errors) == bool(words)
    assert words in " ".join(errors)
