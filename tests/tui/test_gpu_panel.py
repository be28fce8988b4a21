"""The GPU panel from one GPU to sixteen: none is lost, whatever the width."""

import pytest

from fttui.gpu_users import GpuUser, Owner
from fttui.lines import text_of
from fttui.screens.dashboard import heights
from fttui.screens.gpu_page import gpu_lines
from fttui.snapshot import Hardware
from fttui.widgets.gpu_panel import gpu_cell, hardware_lines, wanted_height
from fttui_engine.hardware.gpu import Gpu, GpuInstance, GpuProcess, GpuReport
from fttui_engine.hardware.gpu_detail import GpuDetail, SlowFacts
from fttui_engine.hardware.host import Host
from fttui_engine.hardware.xid import Xid
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


def test_rank_and_step_stand_beside_the_run_and_strangers_are_marked():
    users = {
        7: GpuUser(Owner("llama", 1, 12), "ann", "python"),
        8: GpuUser(Owner(), "bob", "python other.py"),
    }
    gpus = (
        gpu(0, processes=(GpuProcess(7, GIB), GpuProcess(8, GIB))),
        gpu(1, processes=(GpuProcess(8, GIB),)),
    )
    hardware = Hardware(GpuReport(gpus), HOST, read_at=1000.0, users=users)
    lines = [text_of(line) for line in hardware_lines(hardware, (), 1000.0, 120, 3)]
    assert "llama rank 1 step 12 +1" in lines[1]
    assert "other: 8 bob" in lines[2]


def test_instances_have_lines_of_their_own_or_are_counted_where_there_is_no_room():
    part = GpuInstance(1, 0, "MIG-1", "1g.10gb", 2 * GIB, 10 * GIB, (GpuProcess(8, GIB),))
    cut = tuple(gpu(index, utilization_percent=None, instances=(part,) * 7) for index in range(8))
    wanted = wanted_height(Hardware(GpuReport(cut), HOST), 80)
    lines = panel(cut, 80, heights(80, 24, wanted, 3).gpus)
    assert sum(line.count("71.2G") for line in lines) == 8
    one = (gpu(0, utilization_percent=None, instances=(part, part._replace(gpu_instance=2, processes=()))),)
    lines = panel(one, 80, 4)
    assert "MIG: 1" in lines[1]
    assert all(text in lines[2] for text in ("0.1 1g.10gb", "2.0G/10.0G", "other: 8"))
    assert "0.2 1g.10gb" in lines[3]
    assert "free" in lines[3]


@pytest.mark.parametrize(
    ("changes", "mark"),
    [
        ({"xids": (Xid(31, 1.0),)}, ""),
        ({"xids": (Xid(31, 1.0), Xid(79, 2.0))}, "Xid 79"),
        ({"detail": (None, None, None, 0x4)}, ""),
        ({"detail": (None, None, None, 0x40)}, "slowed"),
    ],
)
def test_one_word_marks_what_is_wrong_with_a_gpu_that_works(changes, mark):
    if "detail" in changes:
        changes = {"detail": GpuDetail(*changes["detail"], SlowFacts(*(None,) * len(SlowFacts._fields)))}
    line = panel((gpu(0, **changes),), 120, 2)[1]
    assert line.split("67C")[1].split() == [*mark.split(), "free"]


def test_the_page_shows_old_values_of_a_gpu_only_with_their_age():
    detail = GpuDetail(1395, 9501, 40, 0x40, SlowFacts(*(None,) * len(SlowFacts._fields)))
    well = gpu(0, detail=detail, read_at=940.0)

    def page(one):
        return [text_of(line) for line in gpu_lines(one, Hardware(GpuReport((one,)), HOST), 80, 1000.0)]

    assert any("SM clock 1395 MHz" in line for line in page(well))
    assert any("slowed down by heat" in line for line in page(well))
    lost = page(well._replace(trouble="GPU is lost", errors={"handle": "GPU is lost"}))
    assert "read 1m ago" in lost[0]
    assert "GPU is lost" in lost[1]
    assert "84%" in lost[2]
    assert not any("SM clock" in line or "slowed" in line or "free" in line for line in lost)


@pytest.mark.parametrize(
    ("size", "lost", "hung", "bad"),
    [
        ((80, 5), "GPU is lost", "no answer 12 s", "90% 71.2G Xid"),
        ((120, 9), "GPU is lost (Xid 79) (last 89% 71.2G, 1m ago)", "no answer for 12 s (last", "Xid 48 free"),
        ((200, 17), "fell off the bus: power, heat or slot; reboot this machine) (last 89%", "20s ago)", "Xid 48 free"),
    ],
)  # fmt: skip
def test_a_gpu_in_trouble_says_why_and_how_old_its_values_are_as_wide_as_there_is_room(size, lost, hung, bad):
    gpus = [gpu(index, read_at=900.0) for index in range(16)]
    gpus[3] = gpus[3]._replace(trouble="no answer for 12 s", read_at=980.0)
    gpus[5] = gpus[5]._replace(trouble=f"GPU is lost ({Xid(79, 990.0).text})")
    gpus[6] = gpus[6]._replace(xids=(Xid(48, 1.0),))
    text = "\n".join(panel(tuple(gpus), *size))
    assert all(words in text for words in (lost, hung, bad))


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


def test_a_number_that_has_no_room_is_left_out_instead_of_becoming_another_one():
    cells = [text_of(gpu_cell(gpu(0), "other: 910988 root", width, 0.0)) for width in range(40, 100)]
    assert any("other: 910988 root" in cell for cell in cells)
    assert all("other: 910988" in cell or "other:" not in cell for cell in cells)
