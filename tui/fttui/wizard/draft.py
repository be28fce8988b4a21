"""A new run as far as it has been filled in; it outlives the screen on which that is done."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from fttui.wizard.wish import Judgement, Wish

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fttui.wizard.offers import ProfileOffer
    from fttui_engine.runs.memory import MemoryRecord
    from fttui_engine.spec.resolved import Resolved

LOOK_KEYS = (
    *("stage", "model_name_or_path", "dataset", "eval_dataset", "dataset_dir", "template", "cutoff_len"),
    *("train_on_prompt", "mask_history", "val_size", "max_samples", "packing", "default_system"),
)
"""What examples depend on; another value of one of them makes a look at the data stale."""


@dataclass(frozen=True, slots=True)
class Look:
    """A look at the data: under way, done, or failed."""

    about: tuple[Any, ...]
    limit: int | None
    """How many records of each data set are looked at; None is all of them."""
    started_at: float
    report: dict[str, Any] | None = None
    trouble: str = ""

    @property
    def is_under_way(self) -> bool:
        """Whether its end is still to come."""
        return self.report is None and not self.trouble


@dataclass(slots=True)
class Draft:
    """What was chosen, how far somebody came, and what was found out on the way."""

    wish: Wish = field(default_factory=Wish)
    step: int = 0
    has_profile: bool = False
    """Whether a profile, or none, was chosen by a person."""
    is_recalled: bool = False
    """Whether what was left when the program ended has been looked for."""
    profiles: "Sequence[ProfileOffer]" = ()
    is_compared: bool = False
    """Whether the profiles were compared with this machine."""
    judgement: Judgement | None = None
    look: Look | None = None
    probe: "MemoryRecord | None" = None
    step_seconds: tuple[float, str] | None = None
    """What a step took in an earlier run like this one, and the id of that run."""

    @property
    def judged(self) -> Judgement | None:
        """The judgement on the present wish; None while it is being made."""
        return self.judgement if self.judgement and about(self.judgement.wish) == about(self.wish) else None

    @property
    def looked(self) -> Look | None:
        """The look at the data as the present wish would have it."""
        judged = self.judged
        if self.look is None or judged is None or judged.resolved is None:
            return None
        return self.look if self.look.about == about_data(judged.resolved) else None


def about(wish: Wish) -> Wish:
    """The part of a wish that the configuration depends on."""
    return wish._replace(name="")


def about_data(resolved: "Resolved") -> tuple[str, ...]:
    """What the examples of a configuration depend on."""
    return tuple(repr(resolved.values.get(key)) for key in LOOK_KEYS)
