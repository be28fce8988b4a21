"""Writing checkpoints: never into a sealed one, sealed last, older ones removed only after that."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from fttui_engine.runs.checkpoints import (
    MANIFEST,
    CheckpointDamagedError,
    Manifest,
    list_checkpoints,
    seal,
    set_aside,
    verify,
)
from fttui_engine.train.errors import CheckpointError, DiskFullError
from fttui_engine.train.failures import is_disk_full

# Fewer than two would leave nothing to fall back to when the newest turns out to be damaged.
_KEEP_AT_LEAST = 2


class ResumePoint(NamedTuple):
    """A verified checkpoint and what the Trainer's own files do not say about that moment."""

    path: Path
    step: int
    loss_sum: float
    """Sum of the losses since the last logged step: the window that the checkpoint cut."""
    last_logged_step: int
    tokens: int
    evaluation_due: bool
    """The evaluation of this step was still to be done."""
    stage: dict[str, Any]
    """What the stage's own Trainer keeps beside the weights."""


def read_resume_point(folder: Path) -> ResumePoint:
    """Verify a checkpoint in full and return where it stands; raises CheckpointError."""
    try:
        extra = verify(folder).extra
        return ResumePoint(
            folder,
            int(folder.name.rpartition("-")[2]),
            float(extra["loss_sum"]),
            int(extra["last_logged_step"]),
            int(extra["tokens"]),
            bool(extra["evaluation_due"]),
            dict(extra.get("stage", {})),
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
    ) -> None:
        self._output_dir = output_dir
        self._versions = versions
        self._keep = None if save_total_limit is None else max(save_total_limit, _KEEP_AT_LEAST)
        self._resumed_from = resumed_from
        self._expected_bytes = expected_bytes
        self._saved: set[int] = set()
        self.newest = resumed_from

    def save(self, step: int, write: Callable[[], None], extra: dict[str, Any]) -> Manifest | None:
        """Have ``write`` fill ``checkpoint-<step>`` and seal it; ``None`` if this attempt did so before."""
        if step in self._saved:
            return None
        folder = self._output_dir / f"checkpoint-{step}"
        # One that a crash tore, or that was sealed before training went back to an earlier step.
        replaced = set_aside(folder) if folder.exists() else None
        self._require_space(step)
        try:
            write()
            manifest = seal(folder, step, 1, self._versions, extra)
        except Exception as error:
            shutil.rmtree(folder, ignore_errors=True)
            if is_disk_full(error):
                raise self._disk_full(step) from error
            raise
        self._saved.add(step)
        self.newest = folder
        self._expected_bytes = sum(file.size_bytes for file in manifest.files)
        if replaced:
            shutil.rmtree(replaced, ignore_errors=True)
        self._prune()
        return manifest

    def _prune(self) -> None:
        if self._keep is None:
            return
        complete = [
            checkpoint.path for checkpoint in list_checkpoints(self._output_dir) if checkpoint.complete
        ]
        for path in complete[: -self._keep]:
            if path != self._resumed_from:
                # Without its manifest it does not count, so a kill in between leaves nothing that looks whole.
                (path / MANIFEST).unlink()
                shutil.rmtree(path)

    def _require_space(self, step: int) -> None:
        if shutil.disk_usage(self._output_dir).free < 1.2 * self._expected_bytes:
            raise self._disk_full(step)

    def _disk_full(self, step: int) -> DiskFullError:
        free_bytes = shutil.disk_usage(self._output_dir).free
        return DiskFullError(
            f"no room for the checkpoint of step {step}: it takes about {self._expected_bytes / 1e6:.0f} MB, "
            f"{free_bytes / 1e6:.0f} MB are free in {self._output_dir}",
            "free some space there, lower save_total_limit, or choose another output_dir; then resume",
        )
