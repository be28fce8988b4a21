"""Recordings as the screens replay them: a folder of run directories, the hardware, and the moment of all that."""

import contextlib
import tarfile
import types
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Union, get_args, get_origin, get_type_hints

from fttui.snapshot import Hardware
from fttui_engine.errors import WrongRequestError
from fttui_engine.runs.checkpoints import Checkpoint
from fttui_engine.runs.files import Json, finite, number, read_json_or_none
from fttui_engine.runs.recording import CHECKPOINTS_NAME, INFO_NAME, recorded_at
from fttui_engine.runs.run import Run
from fttui_engine.runs.summary import RunSummary


class Recording:
    """What is replayed in place of this machine: time stands still in it."""

    def __init__(self, home: Path) -> None:
        moment = recorded_at(home)
        if moment is None:
            raise WrongRequestError(
                f"{home} is no recording: it has no {INFO_NAME}", "fttui record RUN FILE.tar.gz makes one"
            )
        self.home = home
        self.recorded_at = moment
        info = read_json_or_none(home / INFO_NAME) or {}
        try:
            self.hardware = rebuilt(Hardware, info.get("hardware") or {})
        except (TypeError, ValueError, KeyError, AttributeError):
            # Written by another release, whose hardware has other fields: the runs are what counts.
            self.hardware = Hardware()

    def as_recorded(self, summary: RunSummary) -> RunSummary:
        """Return a summary with the checkpoints that the run had, of which a recording holds none."""
        listed = (read_json_or_none(summary.run_dir / CHECKPOINTS_NAME) or {}).get("checkpoints")
        found = (
            [_checkpoint(each, summary.run_dir) for each in listed if isinstance(each, dict)]
            if isinstance(listed, list)
            else []
        )
        # Where its output went on the machine it ran on is nobody's business here, nor is this machine's name its.
        inside, host = summary.run_dir / "checkpoints", self.hardware.host
        is_known = host is None or Run(summary.run_dir).keeper_path.exists()
        return summary._replace(
            checkpoints=tuple(each for each in found if each),
            output_dir=inside,
            host=summary.host if is_known else host.hostname,
        )


def _checkpoint(value: Json, folder: Path) -> Checkpoint | None:
    step, size = value.get("step"), value.get("bytes")
    if not isinstance(step, int) or not isinstance(size, int):
        return None
    complete = value.get("complete") is True
    return Checkpoint(step, folder / f"checkpoint-{step}", complete, size, number(value.get("sealed_at")))


@contextlib.contextmanager
def opened(path: Path) -> Iterator[Recording]:
    """Open a recording: a folder, or the archive that ``fttui record`` wrote."""
    if path.is_dir():
        yield Recording(path)
        return
    with TemporaryDirectory(prefix="fttui-replay-") as folder:
        try:
            with tarfile.open(path) as archive:
                archive.extractall(folder, filter="data")
        except (OSError, tarfile.TarError, EOFError) as error:
            reason = getattr(error, "strerror", None) or error
            raise WrongRequestError(
                f"{path} cannot be replayed: {reason}", "fttui record RUN FILE.tar.gz makes what can be"
            ) from error
        yield Recording(Path(folder))


def as_json(value: Any) -> Any:
    """Return records as JSON, by the names of their fields."""
    if is_dataclass(value) and not isinstance(value, type):
        return {each.name: as_json(getattr(value, each.name)) for each in fields(value)}
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return {name: as_json(part) for name, part in value._asdict().items()}
    if isinstance(value, Mapping):
        return {str(key): as_json(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [as_json(part) for part in value]
    return finite(value)


def rebuilt(kind: Any, value: Any) -> Any:
    """Return the record that ``as_json`` wrote; raises TypeError, ValueError, KeyError or AttributeError."""
    if value is None or kind is Any:
        return value
    origin, parts = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return rebuilt(next(part for part in parts if part is not type(None)), value)
    if origin is tuple:
        kinds = [parts[0]] * len(value) if parts[1:] == (...,) else parts
        return tuple(rebuilt(each, part) for each, part in zip(kinds, value, strict=True))
    if origin is not None:
        of_key, of_value = parts
        return {rebuilt(of_key, key): rebuilt(of_value, part) for key, part in value.items()}
    if is_dataclass(kind) or hasattr(kind, "_fields"):
        hints = get_type_hints(kind)
        return kind(**{name: rebuilt(hints[name], part) for name, part in value.items()})
    return kind(value)
