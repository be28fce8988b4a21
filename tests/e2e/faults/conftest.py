"""What faults are made of: a C library that fails on demand, and a disk of a few megabytes."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from faulty_libc import SOURCE, FaultyLibc
from small_disk import SmallDisk


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
