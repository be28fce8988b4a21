"""What faults are made of: a C library that fails on demand, and a disk of a few megabytes."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).with_name("faulty_libc.c")


class FaultyLibc:
    """Preloaded into all that the test starts; without a fault it changes nothing."""

    def __init__(self, switch: Path) -> None:
        self._switch = switch
        self.becomes("")

    def becomes(self, faults: str) -> None:
        """Turn exactly these faults on, such as ``flock=37 clock=-3600``, at once and in every process."""
        new = self._switch.with_suffix(".new")
        new.write_text(faults)
        new.rename(self._switch)


@pytest.fixture(scope="session")
def faulty_library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler = shutil.which("cc") or shutil.which("gcc")
    assert compiler, "tests/system-packages installs the compiler"
    library = tmp_path_factory.mktemp("libc") / "faulty_libc.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-o", str(library), str(SOURCE), "-ldl"], check=True)
    return library


@pytest.fixture
def libc(
    faulty_library: Path, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[FaultyLibc]:
    """A C library with faults for the command line and everything that it starts, not for the test itself."""
    switch = tmp_path / "faults"
    libc = FaultyLibc(switch)
    monkeypatch.setenv("FAULTY_LIBC", str(switch))
    monkeypatch.setenv("FAULTY_FOLDER", str(home))
    monkeypatch.setenv("LD_PRELOAD", str(faulty_library))
    yield libc
    libc.becomes("")


class SmallDisk:
    """A file system of its own, which a test may fill or forbid to be written to."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def fill(self) -> None:
        """Leave not a byte free."""
        with (self.folder / "other-program").open("wb", buffering=0) as file:
            try:
                while file.write(bytes(2**16)):
                    pass
            except OSError:
                return

    def make_room(self) -> None:
        (self.folder / "other-program").unlink()

    def forbid_writing(self) -> None:
        """Let nothing be opened for writing any more; what is open stays so, as where a server turns read-only."""
        subprocess.run(["mount", "--bind", str(self.folder), str(self.folder)], check=True)
        subprocess.run(["mount", "-o", "remount,bind,ro", str(self.folder)], check=True)

    def allow_writing(self) -> None:
        subprocess.run(["umount", "--lazy", str(self.folder)], check=True)


@pytest.fixture
def state_disk(home: Path) -> Iterator[SmallDisk]:
    """The state folder on a disk of four megabytes; named before ``driver``, it is there until all runs are ended."""
    home.mkdir(mode=0o700)
    command = ["mount", "-t", "tmpfs", "-o", "size=4m,mode=700", "tmpfs", str(home)]
    if os.geteuid() or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("a disk of one's own can be mounted by root only")
    try:
        yield SmallDisk(home)
    finally:
        subprocess.run(["umount", "--lazy", str(home)], check=True)
