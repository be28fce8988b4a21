"""Copies what a machine lacks into its scratch folder, and nowhere else; goes on where an earlier copy was cut off.

An archive goes through the conversation's own connection, so that neither rsync nor a value on a remote command line is
needed. Whole files that an earlier try left are not sent again.
"""

import os
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

from fttui_engine.errors import FttuiError, WrongRequestError
from fttui_engine.nodes.checks_alone import size
from fttui_engine.nodes.conversation import Conversation
from fttui_engine.nodes.needed import Needed
from fttui_engine.nodes.on_node.files import file_digest

BLOCK_BYTES = 1 << 20
# A block is refused only when the link or the disk there stands still.
BLOCK_SECONDS = 30.0
LOOK_SECONDS = 120.0
KEPT_FREE_BYTES = 1 << 30

Progress = Callable[[str, Needed, int, int], object]
"""Called with the machine's name, what is copied, the bytes that are there, and all bytes."""


def copy_to(talk: Conversation, needed: Needed, progress: Progress) -> str:
    """Copy to a machine and return the path there; raises WrongRequestError or MachineError."""
    name, scratch = talk.machine.name, talk.machine.scratch
    if scratch is None:
        raise WrongRequestError(
            f"{name} has no scratch folder, and nothing is copied to any other",
            "set scratch: in the inventory",
        )
    if needed.path is None or needed.digest is None:
        raise WrongRequestError(f"{needed.name} is not on this machine", "download it here first")
    about = {"scratch": scratch, "name": needed.copy_name, "single": needed.single}
    held = talk.ask("held", seconds=LOOK_SECONDS, **about)
    if held["is_there"]:
        return str(held["path"])
    files = _files(needed.path)
    missing = {each: path for each, path in files.items() if held["files"].get(each) != file_digest(path)}
    sizes = {each: path.stat().st_size for each, path in files.items()}
    total, lacking = sum(sizes.values()), sum(sizes[each] for each in missing)
    if lacking + KEPT_FREE_BYTES > held["free_bytes"]:
        raise WrongRequestError(
            f"{name}: {scratch} has {size(held['free_bytes'])} free; {needed.name} takes {size(lacking)} more",
            "make room there, or choose another scratch folder",
        )
    if missing:
        done = total - lacking
        progress(name, needed, done, total)
        blocks = _counted(
            archive(missing), lambda sent: progress(name, needed, min(total, done + sent), total)
        )
        said = talk.send_stream("receive", blocks, BLOCK_SECONDS, **about)
        if said["trouble"]:
            raise FttuiError(f"{name}: {said['trouble']}")
    said = talk.ask("finish", digest=needed.digest, seconds=LOOK_SECONDS, **about)
    if said["trouble"]:
        raise FttuiError(f"{name}: {needed.name}: {said['trouble']}", "something changes the files meanwhile")
    return str(said["path"])


def archive(files: dict[str, Path]) -> Iterator[bytes]:
    """The blocks of an archive of these files; raises FttuiError where one changes its size meanwhile."""
    sent = 0
    for name, path in files.items():
        with path.open("rb") as file:
            about = tarfile.TarInfo(name)
            about.size = os.fstat(file.fileno()).st_size
            header = about.tobuf(tarfile.PAX_FORMAT)
            yield header
            left = about.size
            while left:
                block = file.read(min(BLOCK_BYTES, left))
                if not block:
                    raise FttuiError(
                        f"{path} became shorter while it was copied", "try again when nobody writes it"
                    )
                left -= len(block)
                yield block
            padding = -about.size % tarfile.BLOCKSIZE
            yield bytes(padding)
            sent += len(header) + about.size + padding
    # The end, and up to a whole record: the reader takes whole ones, and would wait for the rest.
    end = 2 * tarfile.BLOCKSIZE
    yield bytes(end + -(sent + end) % tarfile.RECORDSIZE)


def _files(path: Path) -> dict[str, Path]:
    if path.is_file():
        return {path.name: path}
    return {str(each.relative_to(path)): each for each in sorted(path.rglob("*")) if each.is_file()}


def _counted(blocks: Iterator[bytes], tell: Callable[[int], object]) -> Iterator[bytes]:
    sent = 0
    for block in blocks:
        yield block
        sent += len(block)
        tell(sent)
