"""A process that waits inside the kernel (state D) and that even SIGKILL does not end: a file server that hangs.

The file server is a FUSE file system of one folder, which answers nothing after it was mounted.
"""

import ctypes
import os
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from fttui_engine.runs.journal import read_state
from fttui_engine.runs.states import State
from fttui_engine.supervise import tree
from run_driver import Driver, is_running, until

FUSE_INIT = 26
HEADER = struct.Struct("<IiQ")
INIT_ANSWER = struct.Struct("<IIIIHHIIHHI28x")
REQUEST_BYTES = 2**18
MNT_DETACH = 2


class HungFileServer:
    """A mounted folder on which every request waits until the server is closed."""

    def __init__(self, folder: Path) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._folder = os.fsencode(folder)
        self._device = os.open("/dev/fuse", os.O_RDWR)
        options = f"fd={self._device},rootmode=40000,user_id=0,group_id=0".encode()
        if self._libc.mount(b"hung", self._folder, b"fuse", 0, options):
            os.close(self._device)
            raise OSError(ctypes.get_errno(), "mount")
        _, opcode, unique = struct.unpack_from("<IIQ", os.read(self._device, REQUEST_BYTES))
        assert opcode == FUSE_INIT
        answer = INIT_ANSWER.pack(7, 31, 2**17, 0, 12, 9, 2**17, 1, 1, 0, 0)
        os.write(self._device, HEADER.pack(HEADER.size + len(answer), 0, unique) + answer)

    def take_a_request(self) -> None:
        """Take it in, so that whoever asked waits for the answer and for no signal."""
        os.read(self._device, REQUEST_BYTES)

    def close(self) -> None:
        if self._device >= 0:
            os.close(self._device)
            self._libc.umount2(self._folder, MNT_DETACH)
            self._device = -1


@pytest.fixture
def server(tmp_path: Path) -> Iterator[HungFileServer]:
    folder = tmp_path / "hung"
    folder.mkdir()
    try:
        server = HungFileServer(folder)
    except OSError as error:
        pytest.skip(f"no file system of one's own can be mounted here: {error.strerror}")
    yield server
    server.close()


def test_process_that_survives_sigkill_is_named_and_keeps_its_run_from_ending(
    driver: Driver, tmp_path: Path, server: HungFileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = driver.running(f"(exec cat {tmp_path}/hung/file) & echo $!; wait")
    server.take_a_request()
    stuck = int(driver.log(run))
    monkeypatch.setattr(tree, "UNKILLABLE_SECONDS", 0.3)
    assert stuck in tree.kill_run(run)
    assert is_running(stuck)
    assert read_state(run).state.is_live, "it has not ended as long as a process of it is there"
    server.close()
    until(lambda: not is_running(stuck), "the process to go when its file server does")
    assert driver.end(run).state is State.FAILED
