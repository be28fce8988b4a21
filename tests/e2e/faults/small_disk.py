"""A disk of a few megabytes, to be filled, or to become read-only."""

import subprocess
from pathlib import Path


class SmallDisk:
    """A file system of its own, which a test may fill or forbid to be written to."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def fill(self) -> None:
        """Leave not a byte free."""
        with (self.folder / "other-program").open("wb", buffering=0) as file:
            try:
                while file.write(bytes(2**16)):
                    pass
            except OSError:
                return

    def make_room(self) -> None:
        (self.folder / "other-program").unlink()

    def forbid_writing(self) -> None:
        """Let nothing be opened for writing any more; what is open stays so, as where a server turns read-only."""
        subprocess.run(["mount", "--bind", str(self.folder), str(self.folder)], check=True)
        subprocess.run(["mount", "-o", "remount,bind,ro", str(self.folder)], check=True)

    def allow_writing(self) -> None:
        subprocess.run(["umount", "--lazy", str(self.folder)], check=True)
