"""The one gate to NVML, the NVIDIA driver's library: opening it, and asking it something.

NVML calls fail one by one: a lost GPU still counts, a data-centre card has no fan, a laptop card no power limit. So
every call goes through ``ask``, that turns an error into "no value" plus the driver's own words.
"""

import ctypes
import threading
from collections.abc import Callable
from typing import Any

LIBRARY = "libnvidia-ml.so.1"
NO_GPU = "No NVIDIA GPU on this machine"
# What the driver answers to nvmlInit, by NVML's error number.
INIT_PROBLEMS = {
    4: "The NVIDIA driver does not let this user see the GPUs; ask the administrator about /dev/nvidia*.",
    9: "The NVIDIA driver is installed but not loaded; `nvidia-smi` or the system log says why.",
    18: "The NVIDIA driver was upgraded while the old one is still loaded; reboot this machine.",
}

# NVML is opened once per process and never closed: nvmlShutdown while another thread is inside a call crashes the
# process, and opening can take seconds where the driver is not kept loaded.
_lock = threading.Lock()
_nvml: Any = None


def open_nvml() -> tuple[Any, str | None]:
    """The opened binding, or a sentence why there is none; a driver that comes up later is found at the next call."""
    global _nvml  # noqa: PLW0603 - one connection to the driver per process is NVML's own model
    with _lock:
        if _nvml is not None:
            return _nvml, None
        try:
            # Probed by hand first: importing pynvml takes 30 ms, and most laptops end here.
            ctypes.CDLL(LIBRARY)
        except OSError as error:
            if "cannot open shared object" in str(error) and "No such file" in str(error):
                return None, f"{NO_GPU}: the driver's library {LIBRARY} is not installed."
            return None, f"The driver's library {LIBRARY} is there but cannot be loaded: {error}."
        import pynvml  # type: ignore[import-untyped]

        try:
            pynvml.nvmlInit()
        except pynvml.NVMLError as error:
            return None, INIT_PROBLEMS.get(error.value, f"The NVIDIA driver does not answer: {error}.")
        except pynvml.NVMLLibraryMismatchError:
            return None, "The NVIDIA driver is too old to be read; 450 or newer is needed."
        _nvml = pynvml
        return _nvml, None


def ask(errors: dict[str, str], field: str, call: Callable[..., Any], *arguments: Any) -> Any:
    """The answer of one NVML call; None when it fails, with the driver's words in ``errors``."""
    import pynvml

    try:
        return call(*arguments)
    except pynvml.NVMLError as error:
        errors[field] = str(error)
    except pynvml.NVMLLibraryMismatchError:
        # Not an NVMLError: the binding raises it when the driver lacks a newer form of a call.
        errors[field] = "the driver is too old for this"
    except UnicodeDecodeError:
        errors[field] = "the driver's answer is not a text"
    return None
