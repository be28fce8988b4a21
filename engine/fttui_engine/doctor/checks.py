"""The list of all checks, in the order in which their findings are told."""

from fttui_engine.doctor import disk, gpus, limits, python, session
from fttui_engine.doctor.finding import Check


def all_checks(run_python: str | None = None) -> list[Check]:
    """Everything that can be looked at without a screen; ``run_python`` is the Python that trains, if another."""
    torch = python.TorchCheck(run_python)
    return [
        Check("fttui", python.look_at_python),
        Check(gpus.SUBJECT, gpus.look_at_gpus, gpus.DEADLINE_SECONDS),
        Check("torch", torch.look, python.DEADLINE_SECONDS, torch.give_up),
        Check("state folder", disk.look_at_home),
        Check("disk", disk.look_at_disk, 20.0),
        Check("shared memory", limits.look_at_shared_memory),
        Check("host", limits.look_at_host),
        Check("limits", limits.look_at_limits),
        Check("logout", session.look_at_session, 15.0),
        Check("clock", session.look_at_clock),
    ]
