"""What the design promises of secrets, rights and foreign folders, on the running program."""

import json
import os
import stat
import tempfile
from pathlib import Path

import pytest

from fttui_engine.errors import WrongRequestError
from fttui_engine.runs.home import ensure_home
from run_driver import Driver, marked_processes, until

SECRETS = {
    "HF_TOKEN": "hf_abcdefghijklmnopqrstuvwxyz0123",
    "WANDB_API_KEY": "0123456789abcdef0123456789abcdef01234567",
    "DB_PASSWORD": "correct-horse",
}


def test_no_verb_shows_a_secret_of_the_environment(driver: Driver) -> None:
    config = driver.home.parent / "x.yaml"
    lines = "".join(f"    {name}: {value}\n" for name, value in SECRETS.items())
    config.write_text(
        f"run:\n  command: [sh, -c, 'echo up; sleep 60']\n  environment:\n    PLAIN: shown\n{lines}"
    )
    driver.cli("start", config, "--name", "r", check=0)
    shown = [driver.cli("check", config, *more).stdout for more in ((), ("--json",))]
    for words in (
        ["show", "r"],
        ["show", "r", "--json"],
        ["events", "r"],
        ["events", "r", "--json"],
        ["ls"],
        ["ls", "--json"],
    ):
        shown.append(driver.cli(*words, check=0).stdout)
    driver.cli("stop", "r", "--now", check=0)
    shown.append(driver.cli("logs", "r", check=0).stdout)
    archive = driver.home.parent / "r.tar.gz"
    driver.cli("record", "r", archive, check=0)
    import tarfile

    with tarfile.open(archive) as packed:
        shown += [packed.extractfile(each).read().decode() for each in packed if each.isfile()]  # type: ignore[union-attr]
    for text in shown:
        for secret in SECRETS.values():
            assert secret not in text, text


def test_whatever_the_umask_nobody_else_can_read_anything(driver: Driver) -> None:
    before = os.umask(0)
    try:
        driver.cli("start", "--name", "r", "--", "sh", "-c", "echo up", check=0)
        driver.cli("wait", "r", check=0)
    finally:
        os.umask(before)
    open_to_others = [
        str(path)
        for path in [driver.home, *driver.home.rglob("*")]
        if path.lstat().st_mode & 0o077 and not path.is_symlink()
    ]
    assert open_to_others == []


def test_nothing_listens(driver: Driver) -> None:
    run = driver.running("sleep 60")
    inodes = set()
    for pid in until(lambda: marked_processes(run.path), "the processes of the run"):
        for link in Path(f"/proc/{pid}/fd").iterdir():
            target = os.readlink(link) if link.is_symlink() else ""
            if target.startswith("socket:["):
                inodes.add(target[8:-1])
    listening = [
        fields
        for table in ("tcp", "tcp6", "udp", "udp6")
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]
        if (fields := line.split())[9] in inodes
    ]
    assert listening == []


@pytest.mark.skipif(os.getuid() != 0, reason="needs root to be two users")
def test_the_state_folder_of_another_user_is_refused() -> None:
    with tempfile.TemporaryDirectory() as name:
        os.chmod(name, 0o755)
        home = Path(name, "state")
        home.mkdir()
        os.chown(home, 4242, 4242)
        home.chmod(0o777)
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                os.setuid(4343)
                ensure_home(home)
            except WrongRequestError as error:
                code = 0 if "belongs to another user" in error.message else 2
            finally:
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        assert list(home.iterdir()) == []


def test_yaml_makes_no_objects(driver: Driver) -> None:
    trace = driver.home.parent / "trace"
    config = driver.home.parent / "x.yaml"
    config.write_text(
        f"model_name_or_path: !!python/object/apply:os.mkdir ['{trace}']\ndataset: demo:instructions\n"
    )
    refused = driver.cli("check", config, "--json")
    assert refused.returncode == 2 or not json.loads(refused.stdout)["ok"]
    assert not trace.exists()


@pytest.mark.parametrize("name", ["../x", "/etc", "a/../../b", "..", "$(touch y)", "-rf"])
def test_no_name_leaves_the_state_folder(driver: Driver, name: str) -> None:
    for words in (["show"], ["rm", "-y"], ["stop"], ["logs"], ["resume"]):
        assert driver.cli(*words, "--", name).returncode in (2, 3)
    assert not (driver.home.parent / "x").exists()


def test_a_planted_symlink_is_no_run(driver: Driver) -> None:
    run = driver.start("true")
    driver.end(run)
    outside = driver.home.parent / "outside"
    outside.mkdir()
    (outside / "precious").write_text("mine")
    os.symlink(outside, run.path.parent / "link")
    driver.cli("rm", "-y", "link")
    assert (outside / "precious").read_text() == "mine"
    assert stat.S_ISLNK((run.path.parent / "link").lstat().st_mode)
