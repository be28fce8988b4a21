"""Which GPUs a program sees: the part of a plan that is decided anew each time a run leaves the queue."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fttui_engine.runs.run import Plan

VISIBLE = "CUDA_VISIBLE_DEVICES"


def gpu_environment(gpus: Sequence[int] | None) -> dict[str, str]:
    """Return the environment that shows a program these GPUs and no others."""
    # PCI_BUS_ID, because CUDA's own order (fastest first) differs from NVML's and so from the screens'.
    return {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", VISIBLE: ",".join(map(str, gpus or []))}


def with_gpus(plan: "Plan", gpus: list[int] | None) -> "Plan":
    """Return the plan with other GPUs, unless its user chose what the run is to see."""
    visible = plan.environment.get(VISIBLE)
    is_ours = visible in (None, gpu_environment(plan.gpus)[VISIBLE])
    if is_ours and (gpus is not None or visible is not None):
        plan = plan._replace(environment={**plan.environment, **gpu_environment(gpus)})
    return plan._replace(gpus=gpus)
