"""Checks of ``run.launcher: slurm``: what Slurm is asked for fits what the run is going to do with it."""

from typing import TYPE_CHECKING

from fttui_engine.spec.slurm_values import gres_gpus, limit_seconds, option_name

if TYPE_CHECKING:
    from fttui_engine.spec.lint import Lint

SIGNAL_SECONDS = 240
"""As in the batch script where ``run.slurm.signal_seconds`` is unset."""
STARTING_SECONDS = 60
"""Loading takes at least this long before there is anything to save."""

KEYS_OF_OPTIONS = {
    "--account": "run.slurm.account",
    "-A": "run.slurm.account",
    "--partition": "run.slurm.partition",
    "-p": "run.slurm.partition",
    "--time": "run.slurm.time",
    "-t": "run.slurm.time",
    "--gres": "run.slurm.gres",
    "--gpus": "run.gpus",
    "-G": "run.gpus",
    "--gpus-per-node": "run.gpus",
    "--gpus-per-task": "run.gpus",
    "--nodes": "run.nodes",
    "-N": "run.nodes",
    "--signal": "run.slurm.signal_seconds",
    "--job-name": "run.name",
    "-J": "run.name",
}
OURS = [
    "--array",
    "-a",
    "--chdir",
    "-D",
    "--error",
    "-e",
    "--export",
    "--export-file",
    "--get-user-env",
    "--input",
    "-i",
    "--no-requeue",
    "--ntasks",
    "-n",
    "--ntasks-per-node",
    "--open-mode",
    "--output",
    "-o",
    "--parsable",
    "--requeue",
    "--test-only",
    "--wait",
    "-W",
    "--wrap",
    "--uid",
    "--gid",
    "--clusters",
    "-M",
    "--batch",
    "--het-group",
]


def check_slurm(case: "Lint") -> None:
    """The block has a use, and what it asks for is what the run needs."""
    if case.values["run.launcher"] != "slurm":
        for name in case.written(("run.slurm.",)):
            case.warn(name, f"{name} has no effect without run.launcher: slurm.")
        return
    if not isinstance(case.values["run.nodes"], int):
        case.error(
            "run.nodes",
            "Slurm chooses which nodes a job gets; run.nodes says how many (--nodelist in run.slurm.extra names them).",
            found=str(case.values["run.nodes"]),
            suggestion=str(len(case.values["run.nodes"])),
        )
    _check_extra(case)
    _check_gpus(case)
    _check_time(case)
    if case.values["run.resume_after_reboot"]:
        case.warn(
            "run.resume_after_reboot",
            "run.resume_after_reboot has no effect with run.launcher: slurm, which starts lost jobs again itself.",
        )


def _check_extra(case: "Lint") -> None:
    for line in case.values.get("run.slurm.extra", []):
        name = option_name(line)
        if key := KEYS_OF_OPTIONS.get(name):
            case.error(
                "run.slurm.extra", f"{name} is said by {key}; take it out of run.slurm.extra.", found=line
            )
        elif name in OURS:
            text = f"{name} would break what fttui needs of its job; take it out of run.slurm.extra."
            case.error("run.slurm.extra", text, found=line)


def _check_gpus(case: "Lint") -> None:
    gpus, gres = case.values["run.gpus"], case.values.get("run.slurm.gres")
    if isinstance(gpus, list):
        case.error(
            "run.gpus",
            "Slurm chooses which GPUs a job gets; run.gpus says how many.",
            found=str(gpus),
            suggestion=str(len(gpus)),
        )
    elif gres is not None and isinstance(gpus, int) and gres_gpus(gres) != gpus:
        case.error(
            "run.slurm.gres",
            f"run.slurm.gres asks for {gres_gpus(gres)} GPUs, and run.gpus for {gpus}; leave one of them out.",
            found=gres,
        )
    elif gres is not None and gres_gpus(gres) and (gpus == "none" or case.values.get("use_cpu")):
        case.warn("run.slurm.gres", f"run.slurm.gres: {gres} takes GPUs that this run does not use.")


def _check_time(case: "Lint") -> None:
    limit = limit_seconds(case.values.get("run.slurm.time", ""))
    warning_seconds = case.values.get("run.slurm.signal_seconds", SIGNAL_SECONDS)
    if limit is not None and limit < warning_seconds + STARTING_SECONDS:
        case.error(
            "run.slurm.time",
            f"A job of {limit} s is told to save {warning_seconds} s before its end (run.slurm.signal_seconds), so it "
            "would hardly train; ask for more time.",
            found=case.values["run.slurm.time"],
            allowed=f"at least {(warning_seconds + STARTING_SECONDS + 59) // 60} minutes",
        )
