"""Xids from the kernel's log, and the curves that the screens keep of each GPU."""

import time
from pathlib import Path

from fttui.gpu_history import STEP_SECONDS, STEPS, GpuHistory, spark
from fttui_engine.hardware.gpu import Gpu
from fttui_engine.hardware.xid import KernelLog, Xid, slot_of, with_xid

LOG = """\
6,1000,5000000,-;NVRM: loading NVIDIA UNIX x86_64 Kernel Module  550.54.15
4,1001,6000000,-;NVRM: Xid (PCI:0000:3b:00): 13, pid=4711, name=python, Graphics SM Warp Exception
 SUBSYSTEM=pci
4,1002,7500000,-;NVRM: Xid (PCI:0000:af:00): 79, pid='<unknown>', name=<unknown>, GPU has fallen off the bus.
4,odd line without its parts NVRM: Xid (PCI:zz): 1
"""


def test_the_kernels_log_tells_what_happened_before_anybody_listened(tmp_path: Path) -> None:
    path = tmp_path / "kmsg"
    path.write_text(LOG)
    log = KernelLog(str(path))
    found = log.read()
    booted_at = time.time() - time.monotonic()
    assert [(slot, xid.number) for slot, xid in found] == [((0, 0x3B, 0), 13), ((0, 0xAF, 0), 79)]
    assert abs(found[1][1].at - (booted_at + 7.5)) < 5
    assert slot_of("00000000:AF:00.0") == found[1][0], "NVML writes the same place otherwise"
    with path.open("a") as file:
        file.write("4,1003,8000000,-;NVRM: Xid (PCI:0000:af:00): 154, GPU recovery action changed\n")
    assert [xid.number for _, xid in log.read()] == [154], "only what is new"
    log.close()
    assert KernelLog(str(tmp_path / "nothing here")).read() == []


def test_an_xid_says_what_it_means_and_is_kept_once() -> None:
    lost, bug = Xid(79, 1000.0), Xid(31, 990.0)
    assert "fell off the bus" in lost.text
    assert lost.is_serious
    assert not bug.is_serious, "a program's bug is no fault of the GPU"
    assert "NVIDIA's list" in Xid(999, 0.0).text
    known = with_xid(with_xid((), lost), bug)
    assert known == (bug, lost), "in the order of their times"
    assert with_xid(known, Xid(79, 1003.0)) == known, "the kernel's log tells of what NVML told too"
    assert len(with_xid(known, Xid(79, 2000.0))) == 3


def gpu(load: int | None, trouble: str = "") -> Gpu:
    return Gpu(0, None, "card", load, 12, 24, 150.0, 300.0, 60, (9, 0), (), {}, trouble=trouble)


def test_a_curve_has_means_of_steps_and_gaps_where_nothing_was_known() -> None:
    history, begin = GpuHistory(), 100 * STEP_SECONDS
    for second, load in ((0, 0), (1, 100), (STEP_SECONDS, 100)):
        history.add((gpu(load),), begin + second)
    history.add((gpu(100, "GPU is lost"),), begin + 2 * STEP_SECONDS)
    history.add((gpu(10),), begin + 4 * STEP_SECONDS)
    trail = history.trails()[0]
    assert len(trail.load) == STEPS
    assert trail.load[-5:] == (50, 100, None, None, 10)
    assert trail.memory[-1] == trail.power[-1] == 50
    assert trail.temperature[-1] == 60
    assert spark(trail.load, 6) == " \u2585\u2588  \u2581"
    for step in range(5, 3 * STEPS):
        history.add((gpu(20),), begin + step * STEP_SECONDS)
    assert history.trails()[0].load == (20,) * STEPS, "what is older is let go"
