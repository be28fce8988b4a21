"""What holds for all tests."""

import signal
from collections.abc import Iterator

import pytest

# Under nohup, or in the background of a script, these are ignored, and what is ignored stays so in every child.
signal.signal(signal.SIGHUP, signal.SIG_DFL)
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def locks_of_our_own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """GPU leases away from those of this host: tests use stand-ins for GPUs, several tests the same ones."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FTTUI_LOCKS", str(tmp_path_factory.mktemp("locks") / "fttui"))
        yield
