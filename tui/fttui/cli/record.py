"""``fttui record``: runs and hardware as they are now, in one archive for a bug report or a replay."""

import json
import sys
import tarfile
import time
from argparse import Namespace
from io import BytesIO
from pathlib import Path

from fttui_engine.errors import ExitCode, WrongRequestError
from fttui_engine.runs.recording import CHECKPOINTS_NAME, INFO_NAME, recording_info, run_files
from fttui_engine.runs.run import Run, find_run
from fttui_engine.runs.summary import summarize
from fttui_engine.version import __version__


def record(arguments: Namespace) -> int:
    """Write the archive and say what is in it."""
    runs = [find_run(each) for each in arguments.runs]
    path = Path(arguments.file)
    if not path.name.endswith((".tar.gz", ".tgz")):
        raise WrongRequestError(f"{path} is not the name of an archive", "call it something.tar.gz")
    if path.exists():
        raise WrongRequestError(f"{path} is there already", "give another name, or delete it")
    try:
        with tarfile.open(path, "x:gz") as archive:
            _add(archive, INFO_NAME, recording_info(time.time(), __version__, _hardware()))
            for run in runs:
                _add_run(archive, run)
    except FileNotFoundError as error:
        raise WrongRequestError(f"{path.parent} is no folder", "create it first") from error
    print(path)
    print(
        "Secrets are masked where their name or shape tells them; read it before you hand it on.",
        file=sys.stderr,
    )
    return ExitCode.DONE


def _add_run(archive: tarfile.TarFile, run: Run) -> None:
    checkpoints = [
        {"step": each.step, "complete": each.complete, "bytes": each.size_bytes, "sealed_at": each.sealed_at}
        for each in summarize(run).checkpoints
    ]
    for name, content in run_files(run):
        _add(archive, f"runs/{run.id}/{name}", content)
    _add(archive, f"runs/{run.id}/{CHECKPOINTS_NAME}", {"checkpoints": checkpoints})


def _add(archive: tarfile.TarFile, name: str, content: bytes | dict[str, object]) -> None:
    data = content if isinstance(content, bytes) else json.dumps(content, indent=1).encode()
    entry = tarfile.TarInfo(name)
    entry.size, entry.mtime, entry.mode = len(data), int(time.time()), 0o600
    archive.addfile(entry, BytesIO(data))


def _hardware() -> dict[str, object]:
    """Return what the screens would show of this machine."""
    from fttui.gpu_users import GpuUsers
    from fttui.recording import as_json
    from fttui.snapshot import Hardware
    from fttui_engine.hardware.gpus import read_gpus
    from fttui_engine.hardware.host import read_host
    from fttui_engine.runs.home import state_home

    host, gpus = read_host(), read_gpus()
    now = Hardware(
        gpus=gpus,
        host=host,
        disk_free_bytes=host.disk_free_bytes(state_home()),
        read_at=time.time(),
        users=GpuUsers().look(gpus.gpus),
    )
    shown: dict[str, object] = as_json(now)
    return shown
