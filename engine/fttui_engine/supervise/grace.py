"""How long a stop waits for a training to save before it is killed."""

from fttui_engine.runs.attempt import Progress
from fttui_engine.runs.run import Plan

STEPS_OF_GRACE = 3
"""A stop is seen at the end of the step under way; the longest of recent steps is at most a few times the mean."""

LONGEST_GRACE_SECONDS = 1800.0
"""A full checkpoint of a large model to a slow disk takes minutes, and cut short it counts for nothing."""

SAVING_ROUND_SECONDS = 60.0


def grace_seconds(plan: Plan, progress: Progress | None) -> float:
    """Return how long a stop waits; the plan's grace, and for a training the steps that it may have to finish."""
    step_seconds = (progress.step_seconds if progress else None) or 0.0
    if plan.kind != "train":
        return plan.grace_seconds
    return max(
        plan.grace_seconds, min(plan.grace_seconds + STEPS_OF_GRACE * step_seconds, LONGEST_GRACE_SECONDS)
    )


def is_saving(progress: Progress | None) -> bool:
    """Whether a checkpoint is being written right now."""
    return progress is not None and progress.phase == "save"
