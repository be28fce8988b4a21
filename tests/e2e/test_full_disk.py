"""A disk that fills up during training costs nothing but time: what was saved stays, and the run goes on by itself."""

import subprocess
import sys
from pathlib import Path

from fttui_engine.runs.journal import read_state
from fttui_engine.runs.run import Run
from fttui_engine.runs.states import State
from own_mount import with_mount
from run_driver import Driver, until

TRAINING_SECONDS = 60.0
CONFIG = """model_name_or_path: demo:tiny
dataset: demo:instructions
finetuning_type: full
use_cpu: true
max_samples: 32
max_steps: 4
save_steps: 1
save_total_limit: 2
per_device_train_batch_size: 2
cutoff_len: 64
learning_rate: 1.0e-4
output_dir: {folder}
"""


def test_a_run_on_a_full_disk_waits_and_goes_on_when_there_is_room(driver: Driver, tmp_path: Path) -> None:
    output = tmp_path / "output"
    output.mkdir()
    config = tmp_path / "run.yaml"
    config.write_text(CONFIG.format(folder=output))
    # A checkpoint takes 7 MB: there is room for the first one and not for the second.
    fill = f"head -c 104000000 /dev/zero > {output}/other"
    inside = with_mount(f"-t tmpfs -o size=110m tmpfs {output}", then=fill)
    argv = [*inside, sys.executable, "-m", "fttui", "start", str(config), "--name", "r"]
    started = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=True)
    assert "MB free, and this run takes" in started.stderr

    run = Run(driver.home / "runs" / "r")
    until(lambda: "waits for room" in read_state(run).detail, "the run to wait", TRAINING_SECONDS)
    shown = driver.show("r")
    assert (shown["state"], shown["exit"]["kind"]) == ("starting", "disk_full")
    assert "no room for the checkpoint of step 2" in shown["exit"]["message"].lower()
    # The run lives in a mount namespace of its own.
    keeper = driver.pid(run, "keeper")
    there = Path(f"/proc/{keeper}/root{output}")
    assert sorted(path.name for path in there.glob("checkpoint-*")) == ["checkpoint-1"]
    (there / "other").unlink()

    driver.reach(run, State.FINISHED, seconds=TRAINING_SECONDS)
    shown = driver.show("r")
    assert (shown["attempt"], shown["step"]) == (2, 4)
    events = driver.cli("events", "r", check=0).stdout
    assert "goes on from" in events
    assert "checkpoint-1" in events
