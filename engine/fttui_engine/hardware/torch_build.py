"""Which torch is installed, and whether its build has kernels for the cards of this host; torch is never imported."""

import os
import re
from importlib.machinery import PathFinder
from pathlib import Path
from typing import NamedTuple

from fttui_engine.hardware.capability import Capability, Card, HardwareProblem

# Forced, because for pip the same version built for another CUDA is the same version.
INSTALL = "pip install --force-reinstall"
# PyTorch's own index of builds by CUDA version.
INDEX = "https://download.pytorch.org/whl"
# The last torch with a build for cards before Turing: CUDA 12.6, gone in 2.15 (pytorch/pytorch#190385).
LEGACY_INSTALL = f'{INSTALL} "torch<2.15" --index-url {INDEX}/cu126'
DEFAULT_INSTALL = f"{INSTALL} torch --index-url {INDEX}/cu130"
# For drivers that do not know CUDA 13 yet; published up to torch 2.11 (pytorch/pytorch#178665).
CUDA_12_INSTALL = f'{INSTALL} "torch<2.12" --index-url {INDEX}/cu128'

_UP_TO_HOPPER: tuple[Capability, ...] = ((5, 0), (6, 0), (7, 0), (7, 5), (8, 0), (8, 6), (9, 0))
_FROM_TURING: tuple[Capability, ...] = ((7, 5), (8, 0), (8, 6), (9, 0), (10, 0), (12, 0))


class TorchBuild(NamedTuple):
    """An installed torch: its version, and the CUDA version that it was built for (None: for the CPU only)."""

    version: str
    cuda: str | None

    @property
    def shown(self) -> str:
        """The build in words."""
        return f"torch {self.version}" + (
            f" (CUDA {self.cuda})" if self.cuda else " (built for the CPU only)"
        )


def installed_build(python: str | None = None) -> TorchBuild | None:
    """The torch of this Python, or of the one at the path ``python``; None where there is none or it cannot be told."""
    path = _version_file() if python is None else _version_file_of(python)
    if path is None:
        return None
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None
    # ROCm builds have cuda None and a version of their own; nothing is known of those here.
    if re.search(r"^hip\b[^=\n]*=\s*['\"]", text, re.MULTILINE):
        return None
    version = re.search(r"^__version__\s*=\s*['\"]([^'\"]+)", text, re.MULTILINE)
    cuda = re.search(r"^cuda\b[^=\n]*=\s*(?:['\"]([\d.]+)['\"]|None)", text, re.MULTILINE)
    return TorchBuild(version[1], cuda[1]) if version and cuda else None


def architectures(build: TorchBuild, machine: str) -> tuple[Capability, ...] | None:
    """The compute capabilities that PyTorch's own build has kernels for; None where that is not known."""
    cuda, torch = _numbers(build.cuda or ""), _numbers(build.version)
    if machine != "x86_64" or len(cuda) < 2 or len(torch) < 2:
        return None
    if cuda >= (13, 0):
        return _FROM_TURING
    if cuda in ((12, 8), (12, 9)):
        # Volta came back in 2.8 and went for good in 2.11 (pytorch/pytorch#172352).
        return ((7, 0), *_FROM_TURING) if (2, 8) <= torch < (2, 11) else _FROM_TURING
    return _UP_TO_HOPPER if (11, 8) <= cuda <= (12, 6) else None


def has_kernels(card: Capability, built_for: tuple[Capability, ...]) -> bool:
    """Whether kernels for these capabilities run on the card: within a major version, those of an older minor do."""
    return any(major == card[0] and minor <= card[1] for major, minor in built_for)


def build_problem(
    build: TorchBuild, cards: list[Card], driver_cuda: Capability | None
) -> HardwareProblem | None:
    """Why this torch cannot use these cards, and the command that installs one that can; None if it can."""
    if not cards:
        return None
    if build.cuda is None:
        command = _install_for(cards, driver_cuda)
        text = f"{build.shown} cannot use {cards[0].shown}: the run would train on the CPU. This one can: {command}"
        return HardwareProblem(text, command, is_error=False)
    built_for = architectures(build, os.uname().machine)
    lacking = [card for card in cards if built_for and not has_kernels(card.capability, built_for)]
    if built_for and lacking:
        newest = max(built_for)
        if lacking[0].capability > newest and _numbers(build.cuda) >= (13, 0):
            # Newer than this table: whether the build reaches it through PTX is not known.
            return None
        command = _install_for(cards, driver_cuda)
        shown = ", ".join(f"{major}.{minor}" for major, minor in built_for)
        major, minor = lacking[0].capability
        text = (
            f"{build.shown} has no kernels for {lacking[0].shown}, of compute capability {major}.{minor} (it has them for "
            f"{shown}), and would fail at the first step with 'no kernel image is available'. This one has them: {command}"
        )
        return HardwareProblem(text, command)
    if driver_cuda is not None and _numbers(build.cuda)[:1] > driver_cuda[:1]:
        text = (
            f"{build.shown} needs a driver for CUDA {build.cuda.split('.')[0]}, and the one that is loaded knows CUDA "
            f"{driver_cuda[0]}.{driver_cuda[1]}; have the driver upgraded, or: {_install_for(cards, driver_cuda)}"
        )
        return HardwareProblem(text, _install_for(cards, driver_cuda))
    return None


def _install_for(cards: list[Card], driver_cuda: Capability | None) -> str:
    if min(card.capability for card in cards) < (7, 5):
        return LEGACY_INSTALL
    return CUDA_12_INSTALL if driver_cuda is not None and driver_cuda < (13, 0) else DEFAULT_INSTALL


def _version_file() -> Path | None:
    found = PathFinder.find_spec("torch")
    return Path(found.origin).with_name("version.py") if found and found.origin else None


def _version_file_of(python: str) -> Path | None:
    """The file in the environment that the program ``python`` belongs to; its own links are not followed."""
    prefix = Path(python).parent.parent
    found = sorted(prefix.glob("lib*/python3*/site-packages/torch/version.py"))
    return found[0] if found else None


def _numbers(version: str) -> tuple[int, ...]:
    """The first two numbers of a version."""
    return tuple(int(part) for part in re.findall(r"\d+", version.partition("+")[0])[:2])
