"""A run that fails is started again by itself, as often and as late as was asked for, and not once more."""

import json
import os
import signal
import time

from fttui_engine.runs.attempt import NEWEST, Request
from fttui_engine.runs.run import Plan
from fttui_engine.runs.states import State
from fttui_engine.supervise import control
from fttui_engine.supervise.restarts import Wait
from run_driver import Driver, until

FAST = {"restart_backoff_seconds": 0.05}


def test_a_run_that_recovers_finishes_and_its_attempts_are_on_record(driver: Driver) -> None:
    run = driver.start('echo $FTTUI_ATTEMPT; [ "$FTTUI_ATTEMPT" = 3 ]', restart_max=2, **FAST)
    state = driver.end(run)
    assert (state.state, state.attempt) == (State.FINISHED, 3)
    assert [driver.log(run, number) for number in (1, 2, 3)] == ["1\n", "2\n", "3\n"]
    assert "Restart 2 of 2" in driver.happened(run, "restart_planned").message


def test_a_run_that_never_recovers_is_parked_with_the_reason(driver: Driver) -> None:
    run = driver.start("echo broken; exit 3", restart_max=2, **FAST)
    state = driver.end(run)
    assert (state.state, state.attempt) == (State.PARKED, 3)
    assert "exit code 3" in state.exit.message
    assert "2 restarts in a row brought no newer checkpoint" in state.exit.message
    assert driver.cli("wait", run.id).returncode != 0
    control.resume(run)
    assert driver.end(run).attempt == 6, "a person who resumes begins the count anew"


def test_what_would_only_fail_again_is_not_restarted(driver: Driver) -> None:
    run = driver.start(
        "echo \"ModuleNotFoundError: No module named 'flash_attn'\"; exit 1", restart_max=5, **FAST
    )
    state = driver.end(run)
    assert (state.state, state.attempt, state.exit.kind) == (State.FAILED, 1, "environment")
    assert "flash_attn" in state.exit.message


def test_a_run_out_of_memory_goes_on_with_the_settings_that_its_worker_names(driver: Driver) -> None:
    outcome = {
        "result": "failed",
        "step": 0,
        "kind": "oom_cuda",
        "message": "No memory.",
        "lighter": {"size": 1},
    }
    script = f"""
[ "$FTTUI_ATTEMPT" -gt 2 ] && exit 3
echo '{json.dumps(outcome)}' > "$FTTUI_RUN_DIR/attempts/00$FTTUI_ATTEMPT/outcome.json"
exit 1"""
    run = driver.start(script, kind="train")
    state = driver.end(run)
    assert (state.state, state.attempt, state.exit.kind) == (State.FAILED, 3, "exit_code")
    assert "It goes on with size: 1" in driver.happened(run, "restart_planned").message
    control.resume(run)
    driver.end(run)
    assert run.attempt(4).read_request().settings == {"size": 1}, "what was found to fit stays with the run"
    control.restart(run)
    driver.end(run)
    assert run.attempt(5).read_request().settings is None


def test_no_restart_unless_asked_for(driver: Driver) -> None:
    state = driver.end(driver.start("exit 3"))
    assert (state.state, state.attempt) == (State.FAILED, 1)


def test_a_run_that_waits_to_be_restarted_says_so_and_can_be_stopped(driver: Driver) -> None:
    run = driver.start("exit 3", restart_max=2, restart_backoff_seconds=3600.0)
    until(lambda: "restarts in" in driver.show(run)["detail"], "the wait to be shown")
    shown = driver.show(run)
    assert shown["state"] == "starting"
    assert "exit code 3" in shown["exit"]["message"]
    control.stop(run)
    state = driver.end(run)
    assert (state.state, state.attempt) == (State.STOPPED, 2)


def test_a_supervisor_killed_while_waiting_is_followed_by_one_that_waits_on(driver: Driver) -> None:
    run = driver.start('[ "$FTTUI_ATTEMPT" = 2 ]', restart_max=1, restart_backoff_seconds=2.0)
    until(lambda: driver.happened(run, "restart_planned"), "the plan to restart")
    driver.kill(run, "supervisor")
    state = driver.end(run)
    assert (state.state, state.attempt) == (State.FINISHED, 2)
    started, planned_for = driver.happened(run, "attempt_started"), run.attempt(2).read_request().not_before
    assert started and planned_for and started.time >= planned_for


def test_a_program_that_met_a_full_disk_starts_again_when_there_is_room(driver: Driver) -> None:
    script = '[ "$FTTUI_ATTEMPT" = 2 ] || { echo "No space left on device"; exit 1; }'
    state = driver.end(driver.start(script, restart_max=1))
    assert (state.state, state.attempt) == (State.FINISHED, 2)


def test_a_disk_that_is_full_though_it_shows_room_is_not_tried_for_ever(driver: Driver) -> None:
    # As a quota does.
    state = driver.end(driver.start('echo "Disk quota exceeded"; exit 1', restart_max=1, **FAST))
    assert (state.state, state.attempt, state.exit.kind) == (State.PARKED, 6, "disk_full")
    assert "a quota, or another program's files" in state.exit.message


def test_a_full_disk_is_waited_for(driver: Driver, tmp_path) -> None:
    def reason(request: Request, folder=tmp_path) -> str:
        plan = Plan("r", "train", ["true"], {}, "/", str(folder), None, 1.0)
        return Wait(request, plan, tmp_path).reason()

    room = Request(NEWEST, free_bytes=1)
    assert reason(room) == ""
    assert f"room on the disk of {tmp_path}" in reason(room._replace(free_bytes=2**60))
    assert reason(room, tmp_path / "not" / "made") == ""
    assert "restarts in 60 s" in reason(Request(NEWEST, not_before=time.time() + 60.4))
    assert "restarts in 720 s" in reason(Request(NEWEST, not_before=time.time() + 1e6)), (
        "the clock was set back"
    )


def test_training_that_is_killed_goes_on_from_its_checkpoint_until_it_has_finished(driver: Driver) -> None:
    config = driver.home.parent / "demo.yaml"
    config.write_text(
        "model_name_or_path: demo:tiny\ndataset: demo:instructions\nuse_cpu: true\nmax_samples: 32\nmax_steps: 60\n"
        "per_device_train_batch_size: 2\nsave_steps: 3\ncutoff_len: 64\nlearning_rate: 1e-3\n"
        "run: {restart: {max: 1, backoff_seconds: 0.1}}\n"
    )
    driver.cli("start", config, "--name", "r", check=0)
    for killed in (1, 2):
        pid = until(lambda killed=killed: pid_at(driver, killed, 6 * killed), f"step {6 * killed}", 120.0)
        os.kill(pid, signal.SIGKILL)
    until(lambda: driver.show("r")["state"] == "finished", "the end", 120.0)
    shown = driver.show("r")
    assert (shown["attempt"], shown["step"]) == (3, 60)


def pid_at(driver: Driver, attempt: int, step: int) -> int:
    """Return the pid of an attempt once it has come to a step, 0 before."""
    shown = driver.show("r")
    assert shown["state"] in ("starting", "running"), shown["exit"]
    return shown["pid"] or 0 if shown["attempt"] == attempt and (shown["step"] or 0) >= step else 0
