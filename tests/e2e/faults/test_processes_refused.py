"""The limit of processes is reached (ulimit -u, pids.max): what cannot be started is tried again, what runs stays."""

from faulty_libc import FaultyLibc

from fttui_engine.runs.run import all_runs
from fttui_engine.runs.states import State
from run_driver import Driver, until

EAGAIN = 11


def test_keeper_that_can_start_no_supervisor_stays_and_tries_on(driver: Driver, libc: FaultyLibc) -> None:
    run = driver.running("exec sleep 600")
    keeper, attempt = driver.pid(run, "keeper"), driver.pid(run, "process")
    libc.becomes(f"fork={EAGAIN}")
    (killed,) = driver.kill(run, "supervisor")
    said = "no supervisor can be started"
    until(lambda: said in run.supervisor_log_path.read_text(), "the keeper to have tried")
    libc.becomes("")
    until(lambda: driver.pid(run, "supervisor") != killed, "the next supervisor")
    assert driver.pid(run, "keeper") == keeper and driver.pid(run, "process") == attempt


def test_start_without_a_process_to_be_had_is_refused_in_a_sentence(driver: Driver, libc: FaultyLibc) -> None:
    libc.becomes(f"fork={EAGAIN}")
    said = driver.cli("start", "--name", "r", "--", "sleep", "600", check=1).stderr
    assert "Resource temporarily unavailable" in said
    assert all_runs(driver.home) == []


def test_few_open_files_are_enough(driver: Driver) -> None:
    driver.cli("start", "--wait", "--name", "r", "--", "sh", "-c", "exit 0", check=0, preexec_fn=few_files)
    assert driver.show("r")["state"] == State.FINISHED


def few_files() -> None:
    import resource

    resource.setrlimit(resource.RLIMIT_NOFILE, (32, 32))


def test_children_by_the_thousand_are_reaped(driver: Driver) -> None:
    """Orphans go to the keeper, which would otherwise gather them as zombies."""
    run = driver.running("for i in $(seq 1000); do (: &) ; done; echo all; exec sleep 600")
    driver.says(run, "all")
    keeper = driver.pid(run, "keeper")

    def children() -> int:
        with open(f"/proc/{keeper}/task/{keeper}/children") as file:
            return len(file.read().split())

    until(lambda: children() == 2, "the keeper to have two children: the attempt and the supervisor")
    assert driver.show(run)["state"] == "running"
