"""What is free on the disk of a folder, in bytes and in files."""

import os
from pathlib import Path


def nearest_folder(folder: Path) -> Path:
    """Return the folder, or the nearest one above it that is there: on its disk it would be made."""
    return next(each for each in (folder, *folder.parents) if each.is_dir())


def free_bytes(folder: Path) -> int:
    """Return what this user may still write where a folder is or is going to be."""
    space = os.statvfs(nearest_folder(folder))
    return space.f_bavail * space.f_frsize


def has_free_inodes(folder: Path) -> bool:
    """Whether another file can be made there; file systems that make inodes as they need them say 0 of 0."""
    space = os.statvfs(nearest_folder(folder))
    return space.f_files == 0 or space.f_favail > 0
