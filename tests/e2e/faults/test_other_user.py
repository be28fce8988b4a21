"""Another user of this host points fttui at a state folder that is not theirs."""

import os
import subprocess
import sys

import pytest

from run_driver import Driver

OTHER_USER = 65534


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder to somebody else")
def test_state_folder_of_another_user_stays_closed(driver: Driver) -> None:
    driver.end(driver.start("exit 0"))
    files = [driver.home, *driver.home.rglob("*")]
    for path in files:
        os.chown(path, OTHER_USER, OTHER_USER)
    before = [path.stat().st_mode for path in files]
    # root's power over foreign files is given up, and nothing else, so that the program itself can still be read.
    powerless = [
        "setpriv",
        "--bounding-set",
        "-dac_override,-dac_read_search,-fowner,-chown",
        "--inh-caps",
        "-all",
    ]
    for words in (["ls"], ["show", "r"], ["start", "--", "true"]):
        argv = [*powerless, sys.executable, "-m", "fttui", *words]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=60)
        assert done.returncode != 0
        assert "Traceback" not in done.stderr
        assert str(driver.home) in done.stderr
    assert [path.stat().st_mode for path in files] == before
