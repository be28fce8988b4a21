"""Whether the machines agree: torch of two releases trains together without a word, and nobody knows what."""

from collections.abc import Iterator
from typing import Literal

from fttui_engine.doctor.finding import Finding
from fttui_engine.nodes.facts import Facts

# What computes gradients, makes batches or speaks between machines must be the same; the rest had better be.
MUST_AGREE = ("torch", "transformers", "fttui", "fttui code")
SHOULD_AGREE = ("python", "peft", "accelerate", "bitsandbytes")
NCCL = ("nvidia-nccl-cu12", "nvidia-nccl-cu13")
NEEDED = ("fttui", "torch", "transformers")
LEAST_BF16 = (8, 0)


def judge_versions(machines: list[Facts]) -> Iterator[tuple[str, Finding]]:
    """Yield a finding per machine; the one that most have is taken for the right version, the first's in a tie."""
    wanted = {name: _most_common(name, machines) for name in (*MUST_AGREE, *SHOULD_AGREE, *NCCL)}
    for facts in machines:
        findings = list(_differences(facts, wanted))
        if not findings:
            has = facts.packages
            findings = [
                Finding("versions", "ok", f"torch {has['torch']}, transformers {has['transformers']}")
            ]
        for finding in findings:
            yield facts.machine.name, finding


def judge_gpu_kinds(machines: list[Facts]) -> Iterator[tuple[str, Finding]]:
    """Yield a note for each machine with cards that lack bfloat16 where others have it."""
    able = {
        facts.machine.name: all(
            tuple(gpu.get("compute_capability") or (0, 0)) >= LEAST_BF16 for gpu in facts.gpus
        )
        for facts in machines
        if facts.gpus
    }
    if any(able.values()) and not all(able.values()):
        for name in (each for each, has in able.items() if not has):
            text = "its GPUs lack bfloat16, which others have: use fp16: true on all"
            yield name, Finding("GPUs", "warning", text, "fp16: true, bf16: false in the configuration")


def _differences(facts: Facts, wanted: dict[str, str | None]) -> Iterator[Finding]:
    has, name = facts.packages, facts.machine.name
    if trouble := has.get("trouble"):
        yield Finding(
            "versions", "problem", f"its Python says nothing: {trouble}", "correct python: in the inventory"
        )
        return
    python = facts.machine.python or "python3"
    for package in NEEDED:
        if has.get(package) is None:
            text = f"{package} is not installed for {python} there"
            yield Finding("versions", "problem", text, _install(name, python, package, wanted[package]))
    for package in (*MUST_AGREE, *SHOULD_AGREE, *NCCL):
        own, other = has.get(package), wanted[package]
        if own is None or other is None or own == other:
            continue
        level: Literal["problem", "warning"] = "warning" if package in SHOULD_AGREE else "problem"
        if package == "torch" and own.partition("+")[0] == other.partition("+")[0]:
            # The same release for another CUDA, or none.
            level = "warning"
        fix = _install(name, python, package, other)
        text = f"{package} is {own} there, {other} elsewhere"
        yield Finding("versions", level, text, fix)


def _install(name: str, python: str, package: str, version: str | None) -> str:
    if package == "python":
        return "use the same Python on all machines: python: in the inventory"
    if package.startswith("fttui"):
        return "install the same fttui on all machines"
    exact = f"=={version.partition('+')[0]}" if version else ""
    return f"on {name}: {python} -m pip install {package}{exact}"


def _most_common(package: str, machines: list[Facts]) -> str | None:
    found = [facts.packages.get(package) for facts in machines]
    versions = [version for version in found if isinstance(version, str)]
    return max(versions, key=versions.count, default=None)
