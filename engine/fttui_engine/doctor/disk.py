"""Where runs are kept: room, speed, the kind of disk, locks, permissions, the clock."""

import errno
import fcntl
import os
import stat
import tempfile
import time
from pathlib import Path

from fttui_engine.doctor.finding import Finding
from fttui_engine.errors import FttuiError
from fttui_engine.runs.free_space import free_bytes, has_free_inodes, nearest_folder
from fttui_engine.runs.home import ensure_home, runs_folder, state_home

GIB = 1 << 30
LITTLE_BYTES, NEXT_TO_NOTHING_BYTES = 20 * GIB, 1 * GIB
TRIAL_BYTES, TRIAL_SECONDS, PIECE_BYTES = 64 << 20, 2.0, 4 << 20
SLOW_BYTES_PER_SECOND = 50e6
# What a checkpoint of a 7B model trained in full takes: weights in bf16, two moments and master weights in float32.
LARGE_CHECKPOINT_BYTES = 98e9
CLOCK_SECONDS = 5.0
NETWORK_DISKS = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "lustre", "beegfs", "gpfs", "ceph", "fuse.sshfs", "9p", "afs"}
)


def look_at_home() -> list[Finding]:
    """Kind of disk, permissions and locks of the state folder."""
    home = state_home()
    try:
        ensure_home(home)
    except FttuiError as error:
        return [Finding("state folder", "problem", error.message, error.hint)]
    kind = disk_kind(home)
    findings = [Finding("state folder", "ok", f"{home} on {kind or 'a disk of unknown kind'}")]
    # FTTUI_HOME may be shared on purpose, such as /tmp; what matters is the folder below it.
    runs = runs_folder(home)
    if stat.S_IMODE(runs.stat().st_mode) & 0o077:
        text = f"others may look into {runs}, where logs and configurations lie"
        findings.append(Finding("state folder", "warning", text, f"chmod 700 {runs}"))
    if kind in ("tmpfs", "ramfs"):
        text = (
            f"{home} is in memory: runs and checkpoints are gone after a reboot, and take memory until then"
        )
        findings.append(Finding("state folder", "warning", text, "set FTTUI_HOME to a folder on a disk"))
    if kind in NETWORK_DISKS:
        text = f"{home} is on a network disk: when its server hangs, runs wait for it"
        fix = "fine for small runs; for large checkpoints set FTTUI_HOME or output_dir to a local disk"
        findings.append(Finding("state folder", "note", text, fix))
    return [*findings, *_locks(runs), *_clock(runs)]


def look_at_disk() -> list[Finding]:
    """Room and speed, where runs are and where models are loaded from."""
    runs = runs_folder()
    findings = _room("disk", runs)
    models = Path(os.environ.get("HF_HOME") or "~/.cache/huggingface").expanduser()
    if nearest_folder(models).stat().st_dev != nearest_folder(runs).stat().st_dev:
        findings += _room("disk of models", models)
    if not any(finding.level == "problem" for finding in findings):
        findings.append(_speed(nearest_folder(runs)))
    return findings


def _room(subject: str, folder: Path) -> list[Finding]:
    free = free_bytes(folder)
    text = (
        f"{free / GIB:.0f} GiB free in {folder}"
        if free >= GIB
        else f"{free / (1 << 20):.0f} MiB free in {folder}"
    )
    if not has_free_inodes(folder):
        return [
            Finding(
                subject,
                "problem",
                f"no file can be added in {folder}: no inode is free",
                "delete files there",
            )
        ]
    if free < NEXT_TO_NOTHING_BYTES:
        return [
            Finding(
                subject, "problem", text, "make room: fttui rm RUN deletes an ended run with its checkpoints"
            )
        ]
    if free < LITTLE_BYTES:
        fix = "make room, or set save_total_limit and output_dir; fttui check says what a run will take"
        return [Finding(subject, "warning", f"only {text}", fix)]
    return [Finding(subject, "ok", text)]


def _speed(folder: Path) -> Finding:
    try:
        speed = write_speed(folder)
    except OSError as error:
        return Finding(
            "disk speed", "problem", f"{folder} cannot be written to: {error.strerror}", "make room there"
        )
    minutes = LARGE_CHECKPOINT_BYTES / speed / 60
    text = f"{speed / 1e6:.0f} MB/s written to {folder}; a checkpoint of a 7B model trained in full takes {minutes:.0f} min"
    if speed < SLOW_BYTES_PER_SECOND:
        fix = "set output_dir to a faster disk, or save less often (save_steps)"
        return Finding("disk speed", "warning", text, fix)
    return Finding("disk speed", "ok", text)


def write_speed(folder: Path) -> float:
    """Bytes a second that reach the disk: at most 64 MB and about 2 s, in a file that nobody sees."""
    piece, written = os.urandom(PIECE_BYTES), 0
    with tempfile.TemporaryFile(dir=folder) as file:
        started = time.monotonic()
        while written < TRIAL_BYTES and time.monotonic() - started < TRIAL_SECONDS:
            file.write(piece)
            file.flush()
            # What only lies in memory says nothing of the disk.
            os.fdatasync(file.fileno())
            written += PIECE_BYTES
        return written / max(1e-6, time.monotonic() - started)


def _locks(folder: Path) -> list[Finding]:
    with tempfile.TemporaryFile(dir=folder) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            name = errno.errorcode.get(error.errno or 0, "?")
            fix = "have it mounted with locks (Lustre: -o flock), or set FTTUI_HOME to a local disk"
            return [Finding("state folder", "problem", f"files in {folder} cannot be locked ({name})", fix)]
    return []


def _clock(folder: Path) -> list[Finding]:
    with tempfile.NamedTemporaryFile(dir=folder) as file:
        off = os.fstat(file.fileno()).st_mtime - time.time()
    if abs(off) > CLOCK_SECONDS:
        text = f"the clock of the disk's server is {off:+.0f} s off this machine's: ages and durations will be wrong"
        return [Finding("clock", "warning", text, "have both set by NTP (timedatectl, chronyc tracking)")]
    return []


def disk_kind(folder: Path) -> str | None:
    """The kind of file system that a folder is on, as the kernel calls it."""
    path = str(nearest_folder(folder).resolve())
    best, kind = "", None
    for line in Path("/proc/self/mounts").read_text(encoding="utf-8", errors="replace").splitlines():
        fields = line.split(" ")
        if len(fields) < 3:
            continue
        # Spaces are written as octal numbers there.
        point = fields[1].encode().decode("unicode_escape", "replace")
        if (path == point or path.startswith(point.rstrip("/") + "/")) and len(point) >= len(best):
            best, kind = point, fields[2]
    return kind
