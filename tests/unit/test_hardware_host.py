"""The host's own figures."""

import os
from pathlib import Path

from fttui_engine.hardware.host import disk_free_bytes, read_host


def test_host_figures_are_plausible() -> None:
    host = read_host()
    assert host.hostname
    assert 1 <= host.cpu_count <= (os.cpu_count() or 1)
    assert 0 <= host.cpu_percent <= 100
    assert 0 < host.memory_used_bytes < host.memory_total_bytes


def test_free_space_is_told_for_a_folder_that_is_still_to_be_made(tmp_path: Path) -> None:
    there = disk_free_bytes(tmp_path)
    assert there is not None
    assert disk_free_bytes(tmp_path / "not" / "yet") is not None
    assert read_host().disk_free_bytes(tmp_path / "not" / "yet") is not None
