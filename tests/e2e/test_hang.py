"""A training that stands still: asked where, ended, and started again from its checkpoint."""

import os
import signal

from fttui_engine.runs.attempt import NEWEST
from fttui_engine.runs.pulse import read_pulses
from fttui_engine.runs.run import find_run
from fttui_engine.runs.states import State
from run_driver import Driver, until

# The worst case: native code that keeps the interpreter's lock, so that no Python code runs any more.
HOLDING = """
import ctypes, os, signal
def hold_the_lock(*_):
    while True:  # a signal ends a sleep
        ctypes.PyDLL(None).sleep(1000)
if os.environ.get("FTTUI_ATTEMPT") == "1":
    signal.signal(signal.SIGUSR1, hold_the_lock)
"""

CONFIG = """
model_name_or_path: demo:tiny
dataset: demo:instructions
use_cpu: true
max_samples: 32
max_steps: {steps}
per_device_train_batch_size: 2
save_steps: 10
cutoff_len: 64
learning_rate: 1e-3
run:
  # Importing on a busy machine may be silent for some seconds.
  hang_seconds: 15
  environment: {{PYTHONPATH: "{path}"}}
  restart: {{max: 1, backoff_seconds: 0.1}}
"""


def test_a_training_that_stands_still_is_found_named_and_started_again(driver: Driver) -> None:
    site = driver.home.parent / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text(HOLDING)
    config = driver.home.parent / "demo.yaml"
    path = os.pathsep.join(filter(None, (str(site), os.environ.get("PYTHONPATH"))))
    config.write_text(CONFIG.format(path=path, steps=100000))
    driver.cli("start", config, "--name", "r", check=0)
    run = find_run("r", driver.home)
    pulse = until(
        lambda: next((p for p in read_pulses(run.attempt(1).path) if p.step > 10), None), "step 11", 120
    )

    alive = driver.cli("stacks", "r", check=0).stdout
    assert f"Rank 0 (process {pulse.pid})" in alive
    assert "recipe.py" in alive
    assert driver.show(run)["state"] == "running", "it was asked, and goes on"

    os.kill(pulse.pid, signal.SIGUSR1)
    until(lambda: driver.happened(run, "hung"), "the hang to be found", 90)
    message = driver.happened(run, "hung").message
    assert "in hold_the_lock (site/sitecustomize.py:5)" in message
    until(
        lambda: driver.show(run)["attempt"] == 2 and driver.show(run)["state"] == "running", "attempt 2", 120
    )
    driver.cli("stop", "r", check=0)
    assert driver.end(run, 60).state is State.STOPPED
    assert run.attempt(2).read_request().resume == NEWEST
    assert run.attempt(2).read_launch().resume_step >= 10, "from its newest checkpoint"
    assert driver.happened(run, "restart_planned").message.startswith("It hung")
    modes = [os.stat(each).st_mode & 0o077 for each in run.attempt(1).stacks_path.iterdir()]
    assert modes == [0], "what a program was doing is nobody else's business"


def test_a_program_that_falls_silent_is_ended_only_where_that_was_asked_for(driver: Driver) -> None:
    run = driver.running("echo begun; sleep 600", hang_seconds=2.0)
    state = driver.end(run, 60)
    assert (state.state, state.exit.kind) == (State.FAILED, "hung")
    assert "wrote nothing to its log" in state.exit.message
    assert "run.hang_seconds" in state.exit.advice
    refused = driver.cli("stacks", run.id, check=2)
    assert "py-spy" in refused.stderr
