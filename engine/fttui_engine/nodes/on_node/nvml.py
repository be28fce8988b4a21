"""The GPUs of a machine on which nothing is installed: the driver's own library, called without a package."""

from __future__ import annotations

import ctypes
from typing import Any

MIB = 1 << 20
# Without NVIDIA's driver there is no such file, which is no fault.
LIBRARY = "libnvidia-ml.so.1"


class _Memory(ctypes.Structure):
    _fields_ = [("total", ctypes.c_ulonglong), ("free", ctypes.c_ulonglong), ("used", ctypes.c_ulonglong)]


def look_at_gpus() -> dict[str, Any]:
    """Return the GPUs, the driver's version, and why there are none or one of them says nothing."""
    try:
        library = ctypes.CDLL(LIBRARY)
    except OSError:
        return {"driver": None, "gpus": [], "trouble": "NVIDIA's driver is not installed"}
    code = library.nvmlInit_v2()
    if code != 0:
        return {"driver": None, "gpus": [], "trouble": "the driver says: " + _words(library, code)}
    try:
        count = ctypes.c_uint()
        code = library.nvmlDeviceGetCount_v2(ctypes.byref(count))
        if code != 0:
            return {"driver": None, "gpus": [], "trouble": "the driver says: " + _words(library, code)}
        gpus = [_gpu(library, index) for index in range(count.value)]
        driver = _text(library.nvmlSystemGetDriverVersion)
        return {"driver": driver, "gpus": gpus, "trouble": "" if gpus else "the driver lists no GPU"}
    finally:
        library.nvmlShutdown()


def _gpu(library: Any, index: int) -> dict[str, Any]:
    found: dict[str, Any] = {"index": index, "name": "", "memory_bytes": 0, "free_bytes": 0, "trouble": ""}
    handle = ctypes.c_void_p()
    code = library.nvmlDeviceGetHandleByIndex_v2(ctypes.c_uint(index), ctypes.byref(handle))
    memory = _Memory()
    if code == 0:
        code = library.nvmlDeviceGetMemoryInfo(handle, ctypes.byref(memory))
    if code != 0:
        return {**found, "trouble": _words(library, code)}
    major, minor = ctypes.c_int(), ctypes.c_int()
    code = library.nvmlDeviceGetCudaComputeCapability(handle, ctypes.byref(major), ctypes.byref(minor))
    return {
        **found,
        "name": _text(library.nvmlDeviceGetName, handle) or "",
        "memory_bytes": int(memory.total),
        "free_bytes": int(memory.free),
        "compute_capability": [major.value, minor.value] if code == 0 else None,
    }


def _text(function: Any, *handle: Any) -> str | None:
    buffer = ctypes.create_string_buffer(96)
    if function(*handle, buffer, ctypes.c_uint(len(buffer))) != 0:
        return None
    return buffer.value.decode(errors="replace")


def _words(library: Any, code: int) -> str:
    library.nvmlErrorString.restype = ctypes.c_char_p
    return (library.nvmlErrorString(code) or b"unknown error").decode(errors="replace")
