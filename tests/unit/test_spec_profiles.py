"""The ready-made configurations: complete, honest about their needs, and found where they are installed."""

import pytest

from fttui_engine.errors import WrongRequestError
from fttui_engine.spec.load import resolve
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
    "dual-ddp-lora": {"run.gpus", "run.strategy"},
    "multi-gpu-fsdp-qlora": {"run.gpus", "run.strategy"},
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
