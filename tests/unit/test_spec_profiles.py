"""The ready-made configurations: complete, honest about their needs, and found where they are installed."""

import pytest

from fttui_engine.errors import WrongRequestError
from fttui_engine.spec.load import resolve
from fttui_engine.spec.memory.peak import predict
from fttui_engine.spec.memory.shape_reading import read_shape
from fttui_engine.spec.memory.workload import read_workload
from fttui_engine.spec.profiles import Hardware, list_profiles, load_profile

NAMES = [
    "demo",
    "single-8gb-qlora",
    "single-24gb-lora",
    "full-finetune",
    "dual-ddp-lora",
    "multi-gpu-fsdp-qlora",
]
# What each profile asks for that this release cannot do.
LATER = {
    "demo": set(),
    "single-8gb-qlora": set(),
    "single-24gb-lora": set(),
    "full-finetune": set(),
    "dual-ddp-lora": set(),
    "multi-gpu-fsdp-qlora": set(),
}


def test_all_profiles_are_listed_the_smallest_need_first() -> None:
    assert [profile.name for profile in list_profiles()] == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_header_says_when_why_what_it_costs_and_the_command(name: str) -> None:
    profile = load_profile(name)
    assert 20 < len(profile.summary) < 120
    for word in ("When:", "Why these values:", "Cost", f"Command: fttui start --profile {name}"):
        assert word in profile.header
    assert (profile.hardware == Hardware()) is (name == "demo")
    needs_later = {
        finding.key
        for finding in resolve(None, profile=name).findings.errors
        if "later release" in finding.message
    }
    assert needs_later == LATER[name]
    assert ("Needs a later release" in profile.header) is bool(LATER[name])


def test_what_a_profile_needs_of_the_hardware_is_machine_readable() -> None:
    assert load_profile("single-8gb-qlora").hardware == Hardware(gpus=1, memory_gb=8, compute_capability=7.5)


def test_the_demo_can_be_started_anywhere() -> None:
    resolved = resolve(None, profile="demo")
    assert resolved.findings.errors == []
    assert resolved.findings.warnings == []
    config = resolved.config
    assert config is not None
    assert (config.max_steps, config.save_steps, config.use_cpu) == (120, 20, True)
    assert config.lora_dropout > 0
    assert config.gradient_accumulation_steps > 1


@pytest.mark.parametrize("name", ["demoo", "../profiles/demo", "/etc/passwd", "", "demo.yaml", "DEMO\0"])
def test_a_wrong_name_never_leaves_the_folder(name: str) -> None:
    with pytest.raises(WrongRequestError) as caught:
        load_profile(name)
    assert "single-24gb-lora" in caught.value.hint


QWEN3_4B = {
    "model_type": "qwen3", "vocab_size": 151936, "hidden_size": 2560, "intermediate_size": 9728,
    "num_hidden_layers": 36, "num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 128,
    "tie_word_embeddings": True,
}  # fmt: skip
QWEN3_8B = QWEN3_4B | {"hidden_size": 4096, "intermediate_size": 12288, "tie_word_embeddings": False}


@pytest.mark.parametrize(
    ("name", "config"),
    [("single-8gb-qlora", QWEN3_4B), ("single-24gb-lora", QWEN3_8B), ("dual-ddp-lora", QWEN3_8B)],
)
def test_a_profile_fits_the_hardware_that_it_names(name: str, config: dict[str, object]) -> None:
    values = resolve(None, profile=name).values
    shape = read_shape(config)
    processes = load_profile(name).hardware.gpus
    predicted = predict(
        shape, read_workload(values, shape, on_cpu=False, processes=processes)
    ).predicted_bytes
    # The driver keeps some of a card to itself: an "8 GB" card shows 7.6 GiB free.
    assert predicted < 0.93 * load_profile(name).hardware.memory_gb * 2**30
