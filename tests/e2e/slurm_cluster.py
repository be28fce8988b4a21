"""A real cluster of Slurm on this machine: munged, slurmctld and two nodes, each a slurmd; up in about a second."""

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from run_driver import is_running, until

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scontrol", "scancel")

CONFIG = """
ClusterName=tests
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
# The least that Slurm believes: a requeued job rests for a second more, 121 s by default.
AuthInfo=socket={folder}/munge.sock,cred_expire=5
CredType=cred/munge
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=sched_interval=2,bf_interval=2,batch_sched_delay=0
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/%n.log
ReturnToService=2
SlurmdTimeout=60
KillWait=5
JobRequeue=1
MpiDefault=none
GresTypes=gpu
# Believe the lines below: this machine may have fewer cores.
SlurmdParameters=config_overrides
NodeName=n1 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[1]} CPUs=4 RealMemory=1000 Gres=gpu:2
NodeName=n2 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[2]} CPUs=4 RealMemory=1000 Gres=gpu:2
PartitionName=main Nodes=n1,n2 Default=YES MaxTime=INFINITE State=UP
"""


def missing_programs() -> list[str]:
    """Return what a cluster needs and this host does not have."""
    return [name for name in PROGRAMS if not _path_of(name)]


class Cluster:
    """The daemons, and what a person would type to look at them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._daemons: dict[str, subprocess.Popen[bytes]] = {}
        for name in ("state", "n1", "n2"):
            (folder / name).mkdir()
        key = folder / "munge.key"
        key.write_bytes(os.urandom(128))
        key.chmod(0o600)
        sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(3)]
        ports = [each.getsockname()[1] for each in sockets]
        for each in sockets:
            each.close()
        user = subprocess.run(["id", "-un"], capture_output=True, text=True, check=True).stdout.strip()
        self.config = folder / "slurm.conf"
        self.config.write_text(CONFIG.format(host=os.uname().nodename, user=user, folder=folder, ports=ports))
        (folder / "gres.conf").write_text(
            "AutoDetect=off\nName=gpu File=/dev/null\nName=gpu File=/dev/zero\n"
        )

    def start(self) -> None:
        """Start all daemons and wait until both nodes can be used."""
        folder = self.folder
        names = {"key-file": "munge.key", "socket": "munge.sock", "pid-file": "munged.pid"}
        names |= {"log-file": "munged.log", "seed-file": "munge.seed"}
        options = [f"--{option}={folder / name}" for option, name in names.items()]
        self._run("munged", ["-F", "--force", *options])
        until((folder / "munge.sock").exists, "munged")
        self.start_controller()
        for node in ("n1", "n2"):
            self.start_node(node)
        until(lambda: self("sinfo", "-h", "-o", "%T %D").split() == ["idle", "2"], "two idle nodes", 30.0)

    def start_controller(self) -> None:
        """Start slurmctld, which finds the jobs of the one before."""
        self._run("slurmctld", ["-D", "-f", str(self.config)])
        until(lambda: "UP" in self("scontrol", "ping"), "slurmctld to answer")

    def stop_controller(self) -> None:
        """End slurmctld: jobs go on, nobody can be asked."""
        self._end("slurmctld")

    def start_node(self, node: str) -> None:
        """Start a node's slurmd."""
        self._run("slurmd", ["-D", "-N", node, "-f", str(self.config)], node)

    def lose_node(self, node: str, job_id: str) -> None:
        """Kill a node with all that it runs, as a power cut does, and have Slurm notice at once (SlurmdTimeout)."""
        # By the environment that Slurm gave them: another cluster on this machine may have a job of that id.
        marks = {f"SLURM_CONF={self.config}".encode(), f"SLURM_JOB_ID={job_id}".encode()}
        of_job = [pid for pid in _pids() if marks <= _environment(pid)]
        stewards = {parent for pid in of_job if _command(parent := _parent(pid)).startswith("slurmstepd")}
        doomed = [self._daemons.pop(node).pid, *stewards, *of_job]
        for pid in doomed:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        with suppress(ChildProcessError):
            os.waitpid(doomed[0], 0)
        until(lambda: not any(map(is_running, doomed)), "the node's processes to be gone")
        self("scontrol", "update", f"NodeName={node}", "State=DOWN", "Reason=lost")

    def __call__(self, *command: str) -> str:
        """Return what one of Slurm's programs prints."""
        environment = {**os.environ, "SLURM_CONF": str(self.config)}
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False).stdout

    def state(self, job_id: str) -> str:
        """Return the state of a job by Slurm, ``""`` for one it does not know."""
        return self("squeue", "-h", "-t", "all", "-j", job_id, "-o", "%T").strip()

    def reach(self, job_id: str, *states: str, seconds: float = 20.0) -> None:
        """Wait for one of the states of a job."""
        until(lambda: self.state(job_id) in states, f"job {job_id} to be {states}", seconds)

    def stop(self) -> None:
        """Cancel all jobs and end all daemons."""
        with suppress(AssertionError):
            self("scancel", "--me")
            until(lambda: not self("squeue", "-h", "-o", "%i"), "the jobs to be gone", 15.0)
        for daemon in self._daemons.values():
            daemon.kill()  # asked to end, slurmctld may take ten seconds over what nobody reads any more
            daemon.wait()
        self._daemons.clear()

    def _run(self, program: str, arguments: list[str], name: str = "") -> None:
        with (self.folder / f"{name or program}.out").open("ab") as output:
            self._daemons[name or program] = subprocess.Popen(
                [str(_path_of(program)), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={**os.environ, "SLURM_CONF": str(self.config)},
            )

    def _end(self, name: str) -> None:
        daemon = self._daemons.pop(name)
        daemon.terminate()
        try:
            daemon.wait(10)
        except subprocess.TimeoutExpired:
            daemon.kill()
            daemon.wait(10)


def eventually(condition: Callable[[], object], what: str, seconds: float = 30.0) -> None:
    """Wait for something that costs a process to look at."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds:.0f} s in vain for {what}"
        time.sleep(0.3)


def _path_of(program: str) -> str | None:
    return shutil.which(program) or shutil.which(program, path="/usr/sbin:/sbin")


def _pids() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdecimal()]


def _command(pid: int) -> str:
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    return ""


def _environment(pid: int) -> set[bytes]:
    with suppress(OSError):
        return set(Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"))
    return set()


def _parent(pid: int) -> int:
    with suppress(OSError):
        return int(Path(f"/proc/{pid}/stat").read_bytes().rpartition(b") ")[2].split()[1])
    return 0
