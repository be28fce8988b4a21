"""The cache of prepared data: folders named by a hash of all that the tokens depend on, made once and then mapped."""

import errno
import fcntl
import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any

from fttui_engine.runs.home import state_home
from fttui_engine.train.data.store import DamagedStoreError, Store

LIMIT_BYTES = 20 * 2**30
"""The cache never stays larger; what was used longest ago goes first. 8 bytes per token: 2.7 thousand million tokens."""

_STALE_SECONDS = 24 * 3600.0
_NO_LOCKS = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS)


def cache_folder() -> Path:
    """Return the folder of prepared data in the state folder; it need not exist."""
    return state_home() / "cache" / "data"


def key_of(parts: Mapping[str, Any]) -> str:
    """Return the name of the entry for data that depends on ``parts`` and on the code that makes tokens of it."""
    content = {**parts, "code": _code(), "libraries": _libraries()}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:40]


def file_hash(path: Path) -> str:
    """Return the hash of a file's content (1 s per GB); times and sizes alone would miss a file written anew."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def tokenizer_hash(tokenizer: Any) -> str:
    """Return a hash of what a tokenizer makes of a text: vocabulary, rules, special tokens and chat template."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is not None:
        rules = backend.to_str()
    else:
        # One in Python has no other description; its class may have rules beside the vocabulary.
        rules = json.dumps([tokenizer.get_vocab(), repr(tokenizer)], sort_keys=True)
    special = {name: str(token) for name, token in sorted(tokenizer.special_tokens_map.items())}
    parts = [type(tokenizer).__name__, rules, special, tokenizer.chat_template]
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()


def find(key: str, log: Callable[[str], None]) -> Store | None:
    """Return an entry of the cache, or None; a damaged one is removed."""
    folder = cache_folder() / key
    if not folder.is_dir():
        return None
    try:
        store = Store(folder)
    except DamagedStoreError as error:
        log(f"warning: prepared data in the cache is damaged ({error}); it is made again")
        shutil.rmtree(folder, ignore_errors=True)
        return None
    _touch(folder)
    return store


def keep(key: str, building: Path) -> Path:
    """Give a finished folder its name in the cache, and make room."""
    folder = cache_folder() / key
    try:
        os.rename(building, folder)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        # Somebody else made the same where the file system has no locks.
        shutil.rmtree(building, ignore_errors=True)
    prune(LIMIT_BYTES, spare=key)
    return folder


@contextmanager
def building_folder(parent: Path, name: str) -> Iterator[Path]:
    """Make a hidden folder beside the one that it is going to be renamed to; gone unless it was renamed."""
    parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    building = parent / f".{name}.{os.getpid()}.{os.urandom(3).hex()}"
    building.mkdir(mode=0o700)
    try:
        yield building
    finally:
        shutil.rmtree(building, ignore_errors=True)


@contextmanager
def only_maker(key: str, log: Callable[[str], None], check_stop: Callable[[], None]) -> Iterator[None]:
    """Hold the right to make an entry: of several ranks, or runs of a sweep, one prepares and the others wait for it."""
    cache_folder().mkdir(mode=0o700, parents=True, exist_ok=True)
    path = cache_folder() / f".{key}.lock"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    waits = False
    try:
        while not _locked(descriptor):
            if not waits:
                log("data: another process is preparing the same data; waiting for it")
            waits = True
            check_stop()
            time.sleep(0.1)
        yield
        # Whoever waits holds the same file and goes on; whoever comes later finds the entry.
        path.unlink(missing_ok=True)
    finally:
        os.close(descriptor)


def prune(limit_bytes: int, spare: str = "") -> None:
    """Remove what a crash left behind, then entries, the longest unused first, down to ``limit_bytes``.

    A run whose entry goes keeps its mapped files until it ends.
    """
    entries: list[tuple[float, int, Path]] = []
    for path in cache_folder().iterdir():
        try:
            changed = path.stat().st_mtime
            if path.name.startswith("."):
                if time.time() - changed > _STALE_SECONDS:
                    path.unlink() if path.is_file() else shutil.rmtree(path)
            elif path.is_dir():
                entries.append((changed, sum(file.stat().st_size for file in path.iterdir()), path))
        except OSError:
            # Another process prunes at the same time.
            continue
    total = sum(size for _, size, _ in entries)
    for _, size, path in sorted(entries):
        if total > limit_bytes and path.name != spare:
            shutil.rmtree(path, ignore_errors=True)
            total -= size


def _touch(folder: Path) -> None:
    try:
        os.utime(folder)
    except OSError:
        # A cache that others filled may be read-only; it is not this process that prunes it.
        return


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        # Without locks two processes do the same work, and one of the results is kept.
        return error.errno in _NO_LOCKS
    return True


def _code() -> str:
    """Return a hash of the modules between file and tokens: no release can forget to say that they have changed."""
    found = hashlib.sha256()
    here = Path(__file__).parent
    for path in sorted([*here.glob("*.py"), *(here.parent / "stages").glob("*.py")]):
        found.update(path.read_bytes())
    return found.hexdigest()


def _libraries() -> dict[str, str]:
    return {name: metadata.version(name) for name in ("transformers", "tokenizers", "jinja2")}
