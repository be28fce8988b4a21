"""The C library with faults, from the side of the test that turns them on and off."""

from pathlib import Path

SOURCE = Path(__file__).with_name("faulty_libc.c")


class FaultyLibc:
    """Preloaded into all that the test starts; without a fault it changes nothing."""

    def __init__(self, switch: Path) -> None:
        self._switch = switch
        self.becomes("")

    def becomes(self, faults: str) -> None:
        """Turn exactly these faults on, such as ``flock=37 clock=-3600``, at once and in every process."""
        new = self._switch.with_suffix(".new")
        new.write_text(faults)
        new.rename(self._switch)
