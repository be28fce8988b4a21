"""What somebody wants of a new run, step by step; all of it may be left empty."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from fttui_engine.errors import FttuiError

if TYPE_CHECKING:
    from fttui_engine.spec.resolved import Resolved

NO_GPU = "none"


class Wish(NamedTuple):
    """The choices; an empty text leaves it to the layer below: profile, file, default."""

    profile: str = ""
    path: str = ""
    model: str = ""
    dataset: str = ""
    """One or more names, with commas between them."""
    gpus: str = ""
    """``auto``, ``none``, or indices with commas between them."""
    strategy: str = ""
    changes: str = ""
    """``KEY=VALUE KEY=VALUE``, which have the last word."""
    name: str = ""

    def overrides(self) -> list[str]:
        """The choices as ``--set`` takes them; raises ValueError where a quote in ``changes`` is not closed."""
        words = []
        if self.model:
            words.append(f"model_name_or_path={self.model}")
        if self.dataset:
            words.append(f"dataset={self.dataset}")
        words += self._places()
        if self.strategy:
            words.append(f"run.strategy={self.strategy}")
        return words + shlex.split(self.changes)

    def _places(self) -> list[str]:
        if not self.gpus:
            return []
        if self.gpus == NO_GPU:
            return ["run.gpus=none"]
        wanted = self.gpus if self.gpus == "auto" else f"[{self.gpus}]"
        # A profile for the CPU says use_cpu, which would have the last word.
        return [f"run.gpus={wanted}", "use_cpu=false"]

    def command(self) -> str:
        """The command line that starts the same run."""
        words = ["fttui", "start"]
        words += [self.path] if self.path else []
        words += ["--profile", self.profile] if self.profile else []
        words += [part for word in self.overrides() for part in ("--set", word)]
        words += ["--name", self.name] if self.name else []
        return shlex.join(words)


class Judgement(NamedTuple):
    """What a wish amounts to: the configuration and the verdict on it, or why there is none."""

    wish: Wish
    resolved: "Resolved | None" = None
    report: dict[str, Any] | None = None
    """In the form of ``fttui check --json``."""
    trouble: str = ""
    memory: tuple[str, ...] = ()
    """What ``fttui check`` prints of memory."""

    @property
    def ok(self) -> bool:
        """Whether a run may be started from it."""
        return self.resolved is not None and self.resolved.ok


def judge(wish: Wish) -> Judgement:
    """Read and check the configuration; for a thread, since it reads files and asks the driver."""
    from fttui.cli.memory_lines import experience_with, memory_lines
    from fttui_engine.spec.check import check
    from fttui_engine.spec.load import resolve

    try:
        path = Path(wish.path).expanduser() if wish.path else None
        resolved = resolve(path, profile=wish.profile or None, overrides=wish.overrides())
        report = check(resolved)
        memory = memory_lines(report.memory, experience_with(report.memory, None))
        return Judgement(wish, resolved, report.to_json(), memory=tuple(memory))
    except FttuiError as error:
        return Judgement(wish, trouble=f"{error.message} {error.hint}".strip())
    except ValueError as error:
        return Judgement(wish, trouble=f"The changes cannot be read: {error}.")
    except RuntimeError as error:
        return Judgement(wish, trouble=f"{wish.path} cannot be found: {error}")
