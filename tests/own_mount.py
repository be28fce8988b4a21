"""A file system of one's own for one command: a disk that is small, takes few files, or has no holes."""

import os
import subprocess

import pytest


def with_mount(words: str, then: str = "true") -> tuple[str, ...]:
    """Return what stands before a command that is to run behind ``mount WORDS`` and ``then``, both shell commands.

    Nobody else sees what is mounted, and it goes with the command. Skips the test where users may not mount.
    """
    as_user = () if os.geteuid() == 0 else ("--map-root-user",)
    prefix = ("unshare", "--mount", *as_user, "sh", "-c", f'mount {words} && {then} && exec "$@"', "sh")
    if as_user and subprocess.run([*prefix, "true"], capture_output=True).returncode:
        pytest.skip("users may not mount here; root may")
    return prefix
