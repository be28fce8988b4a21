"""What a run is going to write is counted for each disk before it starts, and said where there is no room for it."""

import json
from pathlib import Path

import pytest

from fttui_engine.launch.disk_room import disk_rooms
from fttui_engine.spec.check import check
from fttui_engine.spec.load import resolve

RECORD = {"instruction": "Say something.", "input": "", "output": "Something that is said. " * 40}


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FTTUI_HOME", str(tmp_path / "home"))


def configured(tmp_path: Path, **values: object) -> Path:
    data = tmp_path / "data.json"
    data.write_text(json.dumps([RECORD] * 1000))
    path = tmp_path / "run.yaml"
    path.write_text(
        json.dumps({"model_name_or_path": "demo:tiny", "dataset": str(data), "use_cpu": True, **values})
    )
    return path


def test_all_that_is_written_is_counted_by_disk(tmp_path: Path) -> None:
    resolved = resolve(configured(tmp_path, max_steps=10, save_steps=2, output_dir=str(tmp_path / "out")))
    (room,) = disk_rooms(resolved)
    needs = {need.what: need for need in room.needs}
    each = check(resolved).memory.checkpoint_bytes
    assert needs["for 5 checkpoints"].size_bytes == 5 * each
    assert needs["for 5 checkpoints"].folder == tmp_path / "out"
    assert needs["for prepared data"].folder == tmp_path / "home"
    assert needs["for prepared data"].size_bytes == 2 * (tmp_path / "data.json").stat().st_size
    assert room.needed_bytes == sum(need.size_bytes for need in room.needs)
    assert room.warning == ""
    short = room._replace(free_bytes=each)
    assert "B for 5 checkpoints" in short.warning
    assert "lower save_total_limit" in short.warning


def test_where_only_the_data_decide_how_many_checkpoints_there_are_the_least_is_counted(
    tmp_path: Path,
) -> None:
    (room,) = disk_rooms(resolve(configured(tmp_path)))
    assert room.needs[0].what == "for 2 checkpoints at least"
    (room,) = disk_rooms(resolve(configured(tmp_path, save_total_limit=3)))
    assert room.needs[0].what == "for 4 checkpoints"


def test_of_what_is_not_known_nothing_is_said(tmp_path: Path) -> None:
    assert disk_rooms(resolve(configured(tmp_path, model_name_or_path="nobody/has-this-model"))) == []
    assert disk_rooms(resolve(configured(tmp_path, cutoff_len=-1))) == []
