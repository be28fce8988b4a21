"""Checkpoints side by side: an older one goes only when a newer one is whole, whatever happens in between."""

import errno
from pathlib import Path

import pytest

from fttui_engine.runs.checkpoints import list_checkpoints
from fttui_engine.train.errors import DiskFullError
from fttui_engine.train.loop.checkpoints import CheckpointFolder
from fttui_engine.train.ranks.group import Ranks


def steps(folder: Path) -> list[tuple[int, bool]]:
    return [(checkpoint.step, checkpoint.complete) for checkpoint in list_checkpoints(folder)]


def test_older_checkpoints_stay_until_a_newer_one_is_sealed(tmp_path: Path) -> None:
    folder = CheckpointFolder(
        tmp_path, {}, save_total_limit=2, resumed_from=None, expected_bytes=0, ranks=Ranks()
    )

    def save(step: int, failure: Exception | None = None) -> None:
        def write() -> None:
            place = folder.folder_of(step)
            place.mkdir()
            (place / "weights").write_bytes(b"x" * 100)
            assert steps(tmp_path)[:-1] == before, "nothing is removed before the new one is whole"
            if failure:
                raise failure

        before = steps(tmp_path)
        folder.save(step, write, {})

    save(1)
    save(2)
    with pytest.raises(DiskFullError, match="no room for the checkpoint of step 3"):
        save(3, OSError(errno.EDQUOT, "Disk quota exceeded"))
    assert steps(tmp_path) == [(1, True), (2, True)], "a torn one gives its room back, the older ones stay"
    save(4)
    assert steps(tmp_path) == [(2, True), (4, True)]


def test_a_checkpoint_without_room_is_not_begun(tmp_path: Path) -> None:
    folder = CheckpointFolder(
        tmp_path, {}, save_total_limit=None, resumed_from=None, expected_bytes=2**60, ranks=Ranks()
    )
    with pytest.raises(DiskFullError) as caught:
        folder.require_space()
    assert caught.value.needed_bytes == pytest.approx(1.2 * 2**60)
    with pytest.raises(DiskFullError):
        folder.save(1, lambda: pytest.fail("it was begun"), {})
    assert not list(tmp_path.iterdir())
