"""Checkpoints: sealed and whole to the last byte, or they do not count."""

import json
import math
import shutil
from pathlib import Path

import pytest

from fttui_engine.runs.checkpoints import (
    MANIFEST,
    CheckpointDamagedError,
    list_checkpoints,
    read_manifest,
    retire,
    seal,
    set_aside,
    verify,
)

FILES = {
    "model.bin": bytes(range(256)),
    "trainer_state.json": b'{"step": 10}',
    "ranks/rng_0.pth": b"abc",
    "empty": b"",
}


def make(folder: Path, step: int = 10, **extra: object) -> Path:
    checkpoint = folder / f"checkpoint-{step}"
    for name, content in FILES.items():
        path = checkpoint / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    seal(checkpoint, step, 1, {"torch": "2.13"}, extra)
    return checkpoint


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    return make(tmp_path)


def test_whole_checkpoint_is_verified_and_says_what_it_holds(checkpoint: Path) -> None:
    manifest = verify(checkpoint)
    assert (manifest.step, manifest.world_size, manifest.versions) == (10, 1, {"torch": "2.13"})
    assert {file.name: file.size_bytes for file in manifest.files} == {
        name: len(FILES[name]) for name in FILES
    }


@pytest.mark.parametrize(
    "extra",
    [
        {"loss_sum": math.nan},
        {"loss_sum": math.inf},
        {"per_rank": {10: 1, 9: 2}},
        {"pair": (1, 2)},
        {"t": "\udcff"},
    ],
)
def test_seal_holds_whatever_the_manifest_carries(tmp_path: Path, extra: dict[str, object]) -> None:
    verify(make(tmp_path, **extra))


def test_file_cut_at_any_length_is_noticed(checkpoint: Path) -> None:
    for path in [each for each in checkpoint.rglob("*") if each.is_file()]:
        whole = path.read_bytes()
        for length in range(len(whole)):
            path.write_bytes(whole[:length])
            if path.name == MANIFEST and length == len(whole) - 1:
                verify(checkpoint)  # only the newline behind the last bracket is gone
                continue
            with pytest.raises(CheckpointDamagedError):
                verify(checkpoint)
            (listed,) = list_checkpoints(checkpoint.parent)
            assert not listed.complete
        path.write_bytes(whole)
    verify(checkpoint)


def test_file_cut_and_filled_up_again_is_noticed(checkpoint: Path) -> None:
    path = checkpoint / "model.bin"
    whole = path.read_bytes()
    for length in range(0, len(whole), 7):
        path.write_bytes(whole[:length].ljust(len(whole), b"\x00"))
        if path.read_bytes() == whole:
            continue
        with pytest.raises(CheckpointDamagedError, match=r"content of model\.bin has changed"):
            verify(checkpoint)


@pytest.mark.parametrize("mask", [0x01, 0x80, 0xFF])
def test_flipped_bits_in_any_byte_are_noticed(checkpoint: Path, mask: int) -> None:
    good = verify(checkpoint)
    for path in [each for each in checkpoint.rglob("*") if each.is_file()]:
        whole = path.read_bytes()
        for place in range(len(whole)):
            flipped = bytearray(whole)
            flipped[place] ^= mask
            path.write_bytes(flipped)
            try:
                # White space and the 17th digit of a time may change: the manifest still says the same.
                assert verify(checkpoint) == good
                assert path.name == MANIFEST
            except CheckpointDamagedError:
                pass
        path.write_bytes(whole)


@pytest.mark.parametrize("name", FILES)
def test_missing_file_is_noticed(checkpoint: Path, name: str) -> None:
    (checkpoint / name).unlink()
    with pytest.raises(CheckpointDamagedError, match=name):
        verify(checkpoint)
    assert not list_checkpoints(checkpoint.parent)[0].complete


def test_file_that_became_a_folder_is_noticed(checkpoint: Path) -> None:
    (checkpoint / "empty").unlink()
    (checkpoint / "empty").mkdir()
    with pytest.raises(CheckpointDamagedError, match="empty"):
        verify(checkpoint)


def test_checkpoint_without_a_manifest_was_never_sealed(checkpoint: Path) -> None:
    (checkpoint / MANIFEST).unlink()
    with pytest.raises(CheckpointDamagedError, match="never sealed"):
        verify(checkpoint)
    (listed,) = list_checkpoints(checkpoint.parent)
    assert (listed.step, listed.complete) == (10, False)


def test_manifest_of_another_step_does_not_count(checkpoint: Path) -> None:
    moved = checkpoint.rename(checkpoint.with_name("checkpoint-99"))
    with pytest.raises(CheckpointDamagedError, match="step 10"):
        verify(moved)
    assert not list_checkpoints(moved.parent)[0].complete


@pytest.mark.parametrize(
    "change", [{"step": 1e999}, {"files": 5}, {"files": [{"name": 5}]}, {"versions": None}]
)
def test_manifest_that_was_rewritten_with_nonsense_is_damaged(
    checkpoint: Path, change: dict[str, object]
) -> None:
    value = json.loads((checkpoint / MANIFEST).read_bytes())
    (checkpoint / MANIFEST).write_text(json.dumps({**value, **change}))
    with pytest.raises(CheckpointDamagedError):
        read_manifest(checkpoint)


def test_files_that_were_added_later_do_no_harm(checkpoint: Path) -> None:
    (checkpoint / "notes").mkdir()
    (checkpoint / "notes" / "mine.txt").write_text("x")
    verify(checkpoint)


def test_list_is_ordered_by_number_and_passes_over_what_is_none(tmp_path: Path) -> None:
    for step in (9, 100, 20):
        make(tmp_path, step)
    (tmp_path / "checkpoint-7").write_text("a file")
    for name in ("checkpoint-x", "torn-checkpoint-5", "checkpoint-", "checkpoint-\u0663", "before-x"):
        (tmp_path / name).mkdir()
    assert [each.step for each in list_checkpoints(tmp_path)] == [9, 20, 100]
    assert list_checkpoints(tmp_path / "nowhere") == []


def test_set_aside_loses_nothing_and_is_not_listed(tmp_path: Path) -> None:
    for _ in range(3):
        set_aside(make(tmp_path))
    names = ["torn-checkpoint-10", "torn-checkpoint-10.2", "torn-checkpoint-10.3"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    assert list_checkpoints(tmp_path) == []


def test_retiring_keeps_what_lies_at_or_before_the_step(tmp_path: Path) -> None:
    for step in (5, 10, 15):
        make(tmp_path, step)
    assert retire(tmp_path, "attempt-002", above_step=10) == [15]
    assert [each.step for each in list_checkpoints(tmp_path)] == [5, 10]
    assert [each.step for each in list_checkpoints(tmp_path / "before-attempt-002")] == [15]
    assert retire(tmp_path, "attempt-002", above_step=10) == []


def test_retiring_twice_under_one_label_loses_nothing(tmp_path: Path) -> None:
    for _ in range(3):
        make(tmp_path, 5)
        assert retire(tmp_path, "demo") == [5]
    kept = [folder for folder in tmp_path.iterdir() if list_checkpoints(folder)]
    assert sorted(folder.name for folder in kept) == ["before-demo", "before-demo.2", "before-demo.3"]


def test_verification_lets_others_have_a_word(checkpoint: Path) -> None:
    big = checkpoint / "big.bin"
    with big.open("wb") as file:
        file.truncate(40 << 20)
    (checkpoint / MANIFEST).unlink()
    seal(checkpoint, 10, 1, {})
    calls: list[None] = []
    verify(checkpoint, lambda: calls.append(None))
    assert len(calls) == 2

    def give_up() -> None:
        raise KeyError("asked to stop")

    with pytest.raises(KeyError):
        verify(checkpoint, give_up)


def test_checkpoint_deleted_while_it_is_listed_is_incomplete(checkpoint: Path) -> None:
    shutil.rmtree(checkpoint / "ranks")
    (listed,) = list_checkpoints(checkpoint.parent)
    assert not listed.complete
