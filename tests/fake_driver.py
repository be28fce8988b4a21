"""The stand-in for the NVIDIA driver's library, compiled, in a state that may change while a program uses it."""

import os
import shutil
import subprocess
from pathlib import Path

SOURCE = Path(__file__).parent / "fake_nvml" / "fake_nvml.c"


def build(folder: Path, *flags: str) -> Path:
    """Compile it into a new folder, for LD_LIBRARY_PATH."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    assert compiler, "tests/system-packages installs the compiler that the stand-in for the driver needs"
    folder.mkdir()
    library = folder / "libnvidia-ml.so.1"
    subprocess.run([compiler, *flags, "-shared", "-fPIC", "-o", str(library), str(SOURCE)], check=True)
    return folder


class Driver:
    """A driver whose state can be changed while a program uses it."""

    def __init__(self, library: Path, file: Path, state: str) -> None:
        self._file = file
        self.environment = {
            "LD_LIBRARY_PATH": str(library), "FAKE_NVML_FILE": str(file), "FAKE_NVML_PID": str(os.getpid()),
        }  # fmt: skip
        self.becomes(state)

    def becomes(self, state: str) -> None:
        new = self._file.with_suffix(".new")
        new.write_text(state)
        new.rename(self._file)
