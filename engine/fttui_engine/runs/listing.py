"""All runs at once; those that have ended come from an index, since they do not change any more.

The index is a cache: without it, or with another release's, the runs' folders are read as ever.
"""

import contextlib
import json
import os
from pathlib import Path
from typing import Any, NamedTuple

from fttui_engine.runs.checkpoints import Checkpoint
from fttui_engine.runs.files import NON_FINITE, DamagedFileError, read_json, write_json
from fttui_engine.runs.home import PRIVATE_FOLDER, runs_folder, state_home
from fttui_engine.runs.journal import ExitVerdict
from fttui_engine.runs.run import Run, run_entries
from fttui_engine.runs.states import State
from fttui_engine.runs.summary import RunSummary, summarize
from fttui_engine.version import __version__

FORM = [__version__, *RunSummary._fields]
"""What an index must say of itself to be believed."""


class _Ended(NamedTuple):
    mark: str
    """What the files looked like that it was made from."""
    row: list[Any]
    summary: RunSummary


class Listing:
    """The runs of a state folder as it was when this was made; without ``keeps_index`` nothing is written."""

    def __init__(self, home: Path | None = None, *, keeps_index: bool = True) -> None:
        home, self._keeps_index = home or state_home(), keeps_index
        self._path = home / "cache" / "ended-runs.json"
        self._index = self._read_index()
        self._paths = [path for _, _, path in run_entries(runs_folder(home))]
        names = (os.path.basename(path) for path in self._paths)
        self._ended = {
            name: ended
            for name, path in zip(names, self._paths, strict=True)
            if (ended := self._index.get(name)) and ended.mark == _mark(path, ended.row[_OUTPUT_DIR])
        }

    def unended(self) -> list[Run]:
        """Return the runs that the index does not know to have ended, oldest first."""
        return [Run(Path(path)) for path in self._paths if os.path.basename(path) not in self._ended]

    def summaries(self) -> list[RunSummary]:
        """Return the summaries of all runs, oldest first, and remember those of the ended ones."""
        found = list[RunSummary]()
        for path in self._paths:
            if ended := self._ended.get(os.path.basename(path)):
                found.append(ended.summary)
                continue
            mark = _mark(path, None)
            summary = summarize(Run(Path(path)))
            found.append(summary)
            processes = (summary.pid, summary.keeper_pid, summary.supervisor_pid)
            if not summary.state.is_live and not any(processes) and mark == _mark(path, None):
                mark = _mark(path, str(summary.output_dir))
                self._ended[summary.id] = _Ended(mark, _row(summary), summary)
        if self._keeps_index and self._ended != self._index:
            self._write_index()
        return found

    def _read_index(self) -> dict[str, _Ended]:
        try:
            value = read_json(self._path) or {}
            if value.get("form") != FORM:
                return {}
            return {
                name: _Ended(str(mark), row, _summary(row)) for name, (mark, row) in value["runs"].items()
            }
        except (DamagedFileError, KeyError, TypeError, ValueError, AttributeError):
            return {}

    def _write_index(self) -> None:
        runs = {name: (ended.mark, ended.row) for name, ended in self._ended.items()}
        # On a disk that is full or read-only the runs are read from their folders again next time.
        with contextlib.suppress(OSError):
            self._path.parent.mkdir(mode=PRIVATE_FOLDER, exist_ok=True)
            write_json(self._path, {"form": FORM, "runs": runs}, durable=False)


def _mark(path: str, output_dir: str | None) -> str:
    """Return what changes with anything that a summary of an ended run shows: its state, its checkpoints."""
    return f"{_look(os.path.join(path, 'state.json'))} {_look(output_dir) if output_dir else ''}"


def _look(path: str) -> str:
    try:
        status = os.stat(path)
    except OSError:
        return "-"
    return f"{status.st_mtime_ns}.{status.st_ino}.{status.st_size}"


_OUTPUT_DIR = RunSummary._fields.index("output_dir")
_PATHS = ("run_dir", "output_dir", "log_path")


def _row(summary: RunSummary) -> list[Any]:
    checkpoints = [each._replace(path=str(each.path)) for each in summary.checkpoints]  # type: ignore[arg-type]
    paths: dict[str, Any] = {name: str(getattr(summary, name)) for name in _PATHS}
    row: list[Any] = json.loads(json.dumps(list(summary._replace(checkpoints=tuple(checkpoints), **paths))))
    return row


def _summary(row: list[Any]) -> RunSummary:
    """Return the summary of a row; raises TypeError or ValueError for what is none."""
    summary = RunSummary._make(row)
    checkpoints = (Checkpoint._make(each) for each in summary.checkpoints)
    return summary._replace(
        state=State(summary.state),
        # What is no number stands in JSON by its name.
        loss=NON_FINITE.get(str(summary.loss), summary.loss),
        exit=None if summary.exit is None else ExitVerdict._make(summary.exit),
        checkpoints=tuple(each._replace(path=Path(each.path)) for each in checkpoints),
        run_dir=Path(summary.run_dir),
        output_dir=Path(summary.output_dir),
        log_path=Path(summary.log_path),
        gpus=None if summary.gpus is None else tuple(summary.gpus),
        command=tuple(summary.command),
    )
