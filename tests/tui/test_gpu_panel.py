"""The GPU panel from one GPU to sixteen: none is lost, whatever the width."""

import pytest

from fttui.lines import text_of
from fttui.screens.dashboard import heights
from fttui.snapshot import Hardware
from fttui.widgets.gpu_panel import hardware_lines, wanted_height
from fttui_engine.hardware.gpus import Gpu, GpuProcess, GpuReport
from fttui_engine.hardware.host import Host
from fttui_engine.runs.summary import summarize
from run_maker import SIZES

GIB = 2**30
HOST = Host("gpu01", 64, 12.0, (1.0, 1.0, 1.0), 512 * GIB, 100 * GIB)


def gpu(index: int, **changes: object) -> Gpu:
    fields = {
        "index": index,
        "uuid": f"GPU-{index}",
        "name": "NVIDIA H100 80GB HBM3",
        "utilization_percent": 84 + index % 10,
        "memory_used_bytes": int(71.2 * GIB),
        "memory_total_bytes": 80 * GIB,
        "power_watts": 612.3,
        "power_limit_watts": 700.0,
        "temperature_celsius": 67,
        "compute_capability": (9, 0),
        "processes": (),
        "errors": {},
    }
    return Gpu(**{**fields, **changes})


def panel(gpus: tuple[Gpu, ...], width: int, height: int, runs=(), *, age: float = 0.0) -> list[str]:
    hardware = Hardware(GpuReport(gpus), HOST, read_at=1000.0)
    return [text_of(line) for line in hardware_lines(hardware, runs, 1000.0 + age, width, height)]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("count", [1, 2, 4, 8, 16])
def test_every_gpu_is_shown_with_load_and_memory(size, count):
    gpus = tuple(gpu(index) for index in range(count))
    wanted = wanted_height(Hardware(GpuReport(gpus), HOST), size[0])
    height = heights(*size, wanted, 3).gpus
    lines = panel(gpus, size[0], height)
    text = "\n".join(lines)
    assert len(lines) <= height
    assert all(len(line.rstrip()) <= size[0] for line in lines)
    assert text.count("71.2G") == count
    assert all(f" {index} " in text and f"{84 + index % 10}%" in text for index in range(count))


def test_a_gpu_says_whose_it_is(make_run):
    run = summarize(make_run("llama", step=5))._replace(pid=4711)
    gpus = (
        gpu(0, processes=(GpuProcess(4711, GIB),)),
        gpu(1, processes=(GpuProcess(1, None),)),
        gpu(2),
        gpu(3, processes=(GpuProcess(1, None), GpuProcess(2, None))),
    )
    lines = panel(gpus, 120, 5, (run,))
    users = ("llama", "other: 1", "free", "other: 2 processes")
    assert all(user in line for user, line in zip(users, lines[1:], strict=True))


def test_a_lost_gpu_says_why_and_hides_no_other():
    unknown = dict.fromkeys(
        (
            "utilization_percent",
            "memory_used_bytes",
            "memory_total_bytes",
            "power_watts",
            "temperature_celsius",
        )
    )
    lines = panel((gpu(0, **unknown, errors={"name": "GPU is \x1b[31mlost"}), gpu(1)), 80, 3)
    assert "--%" in lines[1]
    assert "GPU is lost" in lines[1]
    assert "71.2G" in lines[2]


def test_readings_that_stop_coming_are_named():
    assert "nothing was read for 30s" in panel((gpu(0),), 80, 2, age=30)[0]
    assert "nothing was read" not in panel((gpu(0),), 80, 2, age=2)[0]


def test_before_the_first_reading_the_panel_says_so():
    assert "reading the hardware" in text_of(hardware_lines(Hardware(), (), 0.0, 80, 3)[1])
    waiting = hardware_lines(Hardware(None, HOST), (), 0.0, 80, 3)
    assert "asking the GPU driver" in text_of(waiting[2])
