"""Writing checkpoints: never into a sealed one, sealed last, older ones removed only after that."""

import shutil
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

from fttui_engine.runs.checkpoints import (
    MANIFEST,
    CheckpointDamagedError,
    Manifest,
    list_checkpoints,
    read_manifest,
    seal,
    set_aside,
    verify,
)
from fttui_engine.runs.free_space import free_bytes, has_free_inodes
from fttui_engine.spec.config import TrainingConfig
from fttui_engine.train.errors import CheckpointError, DiskFullError
from fttui_engine.train.failures import is_disk_full
from fttui_engine.train.ranks.group import Ranks
from fttui_engine.version import __version__

# Fewer than two would leave nothing to fall back to when the newest turns out to be damaged.
_KEEP_AT_LEAST = 2


class ResumePoint(NamedTuple):
    """A verified checkpoint and what the Trainer's own files do not say about that moment."""

    path: Path
    step: int
    loss_sums: tuple[float, ...]
    """Of each rank, the sum of the losses since the last logged step: the window that the checkpoint cut."""
    last_logged_step: int
    tokens: int
    evaluation_due: bool
    """The evaluation of this step was still to be done."""
    stage: dict[str, Any]
    """What the stage's own Trainer keeps beside the weights."""
    evaluations_without_gain: int = 0
    """So many evaluations in a row, up to this step, were no better than the best before them."""
    data: str | None = None
    """The digest of the examples that it was trained on; ``None`` in checkpoints of earlier releases."""
    rank_rows: tuple[int, ...] | None = None
    """The rows that each rank took of a batch of all, where these were not equally many."""

    def loss_sum_of(self, ranks: Ranks) -> float:
        """Return the sum that a rank goes on with; with another number of ranks their mean, which is what is logged."""
        if len(self.loss_sums) == ranks.count:
            return self.loss_sums[ranks.rank]
        return sum(self.loss_sums) / len(self.loss_sums)


def read_resume_point(folder: Path, *, in_full: bool = True) -> ResumePoint:
    """Verify a checkpoint and return where it stands; raises CheckpointError. One rank reads it ``in_full``."""
    try:
        extra = (verify(folder) if in_full else read_manifest(folder)).extra
        return ResumePoint(
            folder,
            int(folder.name.rpartition("-")[2]),
            tuple(float(loss_sum) for loss_sum in extra["loss_sums"]),
            int(extra["last_logged_step"]),
            int(extra["tokens"]),
            bool(extra["evaluation_due"]),
            dict(extra.get("stage", {})),
            int(extra.get("evaluations_without_gain", 0)),
            extra.get("data"),
            tuple(extra["rank_rows"]) if extra.get("rank_rows") else None,
        )
    except CheckpointDamagedError as error:
        raise CheckpointError(error.message, error.hint) from error
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"{folder} was not written by this release of fttui: its manifest lacks {error}",
            "resume with the release that wrote it, or start from scratch",
        ) from error


class CheckpointFolder:
    """The ``checkpoint-<step>`` folders below one output folder, as written by one attempt."""

    def __init__(
        self,
        output_dir: Path,
        versions: dict[str, str],
        *,
        save_total_limit: int | None,
        resumed_from: Path | None,
        expected_bytes: int,
        ranks: Ranks,
    ) -> None:
        self._output_dir = output_dir
        self._ranks = ranks
        self._versions = versions
        self._keep = None if save_total_limit is None else max(save_total_limit, _KEEP_AT_LEAST)
        self._resumed_from = resumed_from
        self._expected_bytes = expected_bytes
        self._saved: set[int] = set()
        self.newest = resumed_from
        self.best: Path | None = None
        """The one that is never pruned, because the result is made of it."""

    def folder_of(self, step: int) -> Path:
        """Return where the checkpoint of a step is, or would be."""
        return self._output_dir / f"checkpoint-{step}"

    def save(self, step: int, write: Callable[[], None], extra: dict[str, Any]) -> Manifest | None:
        """Have ``write`` fill ``checkpoint-<step>`` and seal it; all ranks have to call.

        ``None`` if this attempt did so before, and on ranks that only write: one of each folder seals.
        """
        if step in self._saved:
            return None
        folder = self.folder_of(step)
        replaced = self._make_way(folder, step) if self._ranks.is_writer else None
        self._ranks.wait()
        try:
            write()
            self._ranks.wait()
            manifest = self._seal(folder, step, extra) if self._ranks.is_writer else None
        except Exception as error:
            shutil.rmtree(folder, ignore_errors=True)
            if is_disk_full(error):
                raise self._disk_full(_checkpoint_of(step)) from error
            raise
        self._saved.add(step)
        self.newest = folder
        if replaced:
            shutil.rmtree(replaced, ignore_errors=True)
        if manifest:
            self._prune()
        return manifest

    def _make_way(self, folder: Path, step: int) -> Path | None:
        """Put aside a checkpoint that a crash tore, or that was sealed before training went back to an earlier step."""
        replaced = set_aside(folder) if folder.exists() else None
        self._require_space(_checkpoint_of(step))
        return replaced

    def _seal(self, folder: Path, step: int, extra: dict[str, Any]) -> Manifest:
        manifest = seal(folder, step, self._ranks.count, self._versions, extra)
        self._expected_bytes = sum(file.size_bytes for file in manifest.files)
        return manifest

    def _prune(self) -> None:
        if self._keep is None:
            return
        complete = [
            checkpoint.path for checkpoint in list_checkpoints(self._output_dir) if checkpoint.complete
        ]
        for path in complete[: -self._keep]:
            if path not in (self._resumed_from, self.best):
                # Without its manifest it does not count, so a kill in between leaves nothing that looks whole.
                (path / MANIFEST).unlink()
                shutil.rmtree(path)

    def require_space(self) -> None:
        """Raise DiskFullError unless one checkpoint has room: what was learned without one could not be kept."""
        self._require_space("a checkpoint")

    def _require_space(self, what: str) -> None:
        if free_bytes(self._output_dir) < self._needed_bytes or not has_free_inodes(self._output_dir):
            raise self._disk_full(what)

    @property
    def _needed_bytes(self) -> int:
        return int(1.2 * self._expected_bytes)

    def _disk_full(self, what: str) -> DiskFullError:
        there_is = f"{free_bytes(self._output_dir) / 1e6:.0f} MB are free in {self._output_dir}"
        if not has_free_inodes(self._output_dir):
            there_is += ", but no further file can be made there (no free inodes)"
        return DiskFullError(
            f"no room for {what}: it takes about {self._expected_bytes / 1e6:.0f} MB, {there_is}",
            "free some space there, lower save_total_limit, or choose another output_dir; then resume",
            self._needed_bytes,
        )


def _checkpoint_of(step: int) -> str:
    return f"the checkpoint of step {step}"


def checkpoint_bytes(model: Any, config: TrainingConfig) -> int:
    """Return about what a checkpoint takes: the weights that it holds, and Adam's two means of each in float32."""
    trained_only = config.finetuning_type in ("lora", "oft")
    return sum(
        weight.numel() * (weight.element_size() + (8 if weight.requires_grad else 0))
        for weight in model.parameters()
        if weight.requires_grad or not trained_only
    )


def library_versions(*, quantized: bool) -> dict[str, str]:
    """Return the versions of what trains, for the manifest: with others the sums may be rounded otherwise."""
    packages = ["torch", "transformers", "peft", "accelerate", "tokenizers"]
    if quantized:
        packages.append("bitsandbytes")
    return {"fttui": __version__, **{name: metadata.version(name) for name in packages}}
