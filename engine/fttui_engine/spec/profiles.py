"""Ready-made configurations: YAML files whose head says for which hardware they are, why, and what they cost."""

from pathlib import Path
from typing import NamedTuple

from fttui_engine.errors import WrongRequestError
from fttui_engine.spec.findings import nearest

HARDWARE_MARK = "hardware:"
# A card that is sold as one of 8 GB shows 7.5 GiB (Tesla P4: 7680 MiB) to 8 GiB.
SHOWN_OF_NOMINAL = 0.93


class Hardware(NamedTuple):
    """The least that a profile needs; zeros mean that a CPU is enough."""

    gpus: int = 0
    memory_gb: float = 0.0
    compute_capability: float = 0.0


class Profile(NamedTuple):
    """One ready-made configuration."""

    name: str
    path: Path
    summary: str
    header: str
    hardware: Hardware


def profiles_folder() -> Path:
    """Where the profiles are: the package ``fttui_profiles`` beside ours, or ``profiles/`` of the source tree."""
    # By path and not through importlib.resources, which takes 20 ms to import.
    packages = Path(__file__).resolve().parents[2]
    installed = packages / "fttui_profiles"
    return installed if installed.is_dir() else packages.parent / "profiles"


def list_profiles() -> list[Profile]:
    """All profiles, by need: those for the smallest hardware first."""
    profiles = [_read(path) for path in profiles_folder().glob("*.yaml")]
    return sorted(profiles, key=lambda profile: (profile.hardware, profile.name))


def load_profile(name: str) -> Profile:
    """The profile called ``name``; raises WrongRequestError that names the others."""
    # Listing the folder first also means that a name can never lead out of it.
    names = sorted(path.stem for path in profiles_folder().glob("*.yaml"))
    if name in names:
        return _read(profiles_folder() / f"{name}.yaml")
    suggestion = nearest(name, names)
    hint = f"Did you mean {suggestion}? " if suggestion else ""
    raise WrongRequestError(f"There is no profile {name[:80]!r}.", f"{hint}There are: {', '.join(names)}.")


def missing_hardware(needed: Hardware) -> str | None:
    """What this host lacks for a profile, in a sentence; None if it has all.

    The compute capability does not count: the profile's precision follows the cards (``profile_precision.py``).
    """
    if needed.gpus == 0:
        return None
    from fttui_engine.hardware.gpus import read_gpus

    report = read_gpus()
    asks = f"It needs {needed.gpus} GPU{'s' if needed.gpus > 1 else ''} of {needed.memory_gb:g} GB or more"
    if not report.gpus:
        return f"{asks}. {report.error}"
    least_bytes = needed.memory_gb * SHOWN_OF_NOMINAL * (1 << 30)
    large = [gpu for gpu in report.gpus if (gpu.memory_total_bytes or 0) >= least_bytes]
    if len(large) >= needed.gpus:
        return None
    return f"{asks}; this machine has {len(large)}."


def _read(path: Path) -> Profile:
    """The profile at ``path``, from the comment lines at its head."""
    header: list[str] = []
    hardware = Hardware()
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            break
        text = line.removeprefix("#").removeprefix(" ")
        if text.startswith(HARDWARE_MARK):
            hardware = _hardware(text.removeprefix(HARDWARE_MARK))
        else:
            header.append(text)
    return Profile(path.stem, path, header[0] if header else "", "\n".join(header).strip(), hardware)


def _hardware(text: str) -> Hardware:
    """``gpus=1 memory_gb=8 compute_capability=7.5``; ``cpu`` says nothing more."""
    needs = dict(word.split("=", 1) for word in text.split() if "=" in word)
    return Hardware(
        gpus=int(needs.get("gpus", 0)),
        memory_gb=float(needs.get("memory_gb", 0)),
        compute_capability=float(needs.get("compute_capability", 0)),
    )
