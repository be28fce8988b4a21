"""Going on with another number of processes than a run was started with, where the result can still be right."""

from typing import TYPE_CHECKING

from fttui_engine.errors import WrongRequestError
from fttui_engine.launch.gpu_choice import GpuChoice, choose
from fttui_engine.launch.start import worker_argv
from fttui_engine.runs.run import Plan, Run
from fttui_engine.supervise.gpu_environment import gpu_environment

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fttui_engine.spec.resolved import Resolved

# What a stage takes from one batch of all processes, whose size changes with their number.
_MEASURED_PER_BATCH = {
    "kto": "; the drift that kto takes off is measured over batches of another size",
    "ppo": "; answers are drawn by other numbers, too",
    "dpo": "; the baseline of pref_bco_weight, where it is on, moves once per batch of another size",
}


def rescale(
    run: Run, *, gpus: "int | Sequence[int] | None" = None, processes: int | None = None
) -> tuple[Plan, str]:
    """Return the plan for another number of GPUs, or of processes without GPUs, and a sentence on what changes.

    The batch per step stays what it was, by more or fewer batches that are summed up. Raises WrongRequestError where
    it cannot be shared equally, or the run is none of our trainings.
    """
    from fttui_engine.spec.resolved import read_spec

    plan = run.read_plan()
    if plan.kind != "train":
        raise WrongRequestError(
            f"{run.id} is no training of ours", "only those go on with another number of processes"
        )
    if plan.launcher == "slurm":
        raise WrongRequestError(
            f"{run.id} has the GPUs of its Slurm job, which cannot be changed",
            "start a run with another run.gpus; resume_from_checkpoint takes over what this one has learnt",
        )
    spec = read_spec(run.spec_path)
    if gpus is None:
        choice, count = GpuChoice(None), processes or 1
    elif spec.values.get("use_cpu"):
        raise WrongRequestError(
            f"{run.id} trains on the CPU (use_cpu: true)", "give --processes in place of --gpus"
        )
    else:
        choice = choose(tuple(gpus) if not isinstance(gpus, int) else gpus)
        count = len(choice.gpus or [0])
    accumulation = _accumulation(run, plan, spec, count)
    changed = plan._replace(
        argv=worker_argv(plan.argv[0], count),
        gpus=choice.gpus,
        leases=choice.leases,
        environment={**plan.environment, **gpu_environment(choice.gpus)},
    )
    return changed, _what_changes(plan, count, accumulation, str(spec.values.get("stage")))


def _accumulation(run: Run, plan: Plan, spec: "Resolved", count: int) -> int:
    """Return how many batches each of so many processes sums up per step; raises where they cannot share them."""
    if spec.values.get("deepspeed") and count != _processes(plan):
        raise WrongRequestError(
            f"{run.id} is divided by DeepSpeed, whose checkpoints only go on with as many processes as wrote them",
            f"resume it with {_processes(plan)} processes; the adapter or model in the checkpoint is whole",
        )
    batches = spec.run.process_count * int(spec.values["gradient_accumulation_steps"])
    if batches % count:
        fitting = [str(number) for number in range(1, batches + 1) if batches % number == 0]
        raise WrongRequestError(
            f"{run.id} learns from {batches} batches per step, which {count} processes cannot share equally",
            f"it can go on with {' or '.join(fitting[:12])} processes",
        )
    return batches // count


def _processes(plan: Plan) -> int:
    return int(plan.argv[-1]) if plan.argv[-1].isdigit() else 1


def _what_changes(before: Plan, count: int, accumulation: int, stage: str) -> str:
    former = _processes(before)
    if former == count:
        return f"{count} processes, as before"
    return (
        f"{count} instead of {former} processes; the batch stays the same (gradient_accumulation_steps: {accumulation}), "
        "and dropout draws other numbers than it would have"
    ) + _MEASURED_PER_BATCH.get(stage, "")
