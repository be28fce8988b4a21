"""The verbs that both faces of fttui call; starting from ``launch``, the rest from ``supervise``."""

from fttui_engine.launch.start import default_name, start, start_command
from fttui_engine.supervise.adoption import adopt, look_after, reconcile
from fttui_engine.supervise.control import (
    remove,
    remove_checkpoint,
    restart,
    resume,
    stop,
)

__all__ = [
    "adopt",
    "default_name",
    "look_after",
    "reconcile",
    "remove",
    "remove_checkpoint",
    "restart",
    "resume",
    "start",
    "start_command",
    "stop",
]
