"""The inventory of machines, ssh's words, and what is computed about several machines, without any of them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import fake_driver
from fttui_engine.errors import FttuiError
from fttui_engine.nodes import ssh
from fttui_engine.nodes.checks_network import Link, exchange_seconds, rounds
from fttui_engine.nodes.conversation import BOOTSTRAP
from fttui_engine.nodes.inventory import (
    InventoryError,
    Machine,
    NoSuchMachineError,
    add_machines,
    choose,
    read_inventory,
    remove_machine,
)
from fttui_engine.nodes.on_node import files, nvml
from fttui_engine.nodes.ssh_config import aliases
from fttui_engine.nodes.sync import archive

FULL = """\
# The team's machines.
alpha:
  addr: 10.0.0.1
  interface: eth1
  gpus: [0, 2]
  python: /opt/env/bin/python
  scratch: /data/team

# The old one, on loan.
beta:
gamma: {addr: 'fd00::3', gpus: []}
"""


@pytest.fixture
def inventory(tmp_path: Path) -> Path:
    path = tmp_path / "nodes.yaml"
    path.write_text(FULL)
    return path


def test_inventory_says_what_was_written(inventory: Path) -> None:
    alpha, beta, gamma = read_inventory(inventory)
    assert alpha == Machine("alpha", "10.0.0.1", "eth1", (0, 2), "/opt/env/bin/python", "/data/team")
    assert beta == Machine("beta")
    assert gamma == Machine("gamma", "fd00::3", gpus=())


def test_no_file_and_an_empty_one_are_no_machines(tmp_path: Path) -> None:
    assert read_inventory(tmp_path / "none.yaml") == []
    (tmp_path / "empty.yaml").write_text("# nothing yet\n")
    assert read_inventory(tmp_path / "empty.yaml") == []


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("a:\n  adr: 10.0.0.1\n", 2, ["a.adr", "addr"]),
        ("a:\n  addr: gpu1\n", 2, ["a.addr", "gpu1", "number"]),
        ("a:\n  addr: 0.0.0.0\n", 2, ["a.addr"]),
        ("a:\n  gpus: 0\n", 2, ["a.gpus", "[0, 1]"]),
        ("a:\n  gpus: [0, 0]\n", 2, ["a.gpus"]),
        ("a:\n  gpus: [x]\n", 2, ["a.gpus"]),
        ("a:\n  python: env/bin/python\n", 2, ["a.python", "full path"]),
        ("a:\n  scratch: [x]\n", 2, ["a.scratch"]),
        ("a:\n  interface: eth0; reboot\n", 2, ["a.interface"]),
        ("a:\n  addr: 10.0.0.1\n  addr: 10.0.0.2\n", 3, ["twice"]),
        ("a:\nb:\na:\n", 3, ["a is there twice"]),
        ("a: 10.0.0.1\n", 1, ["block"]),
        ("-oProxyCommand=reboot:\n", 1, ["name of a machine"]),
        ("a b:\n", 1, ["name of a machine"]),
        ("- a\n", 1, ["list"]),
        ("a:\n\taddr: 1\n", 2, ["tab"]),
    ],
)
def test_mistakes_are_named_with_file_line_and_key(
    tmp_path: Path, text: str, line: int, words: list[str]
) -> None:
    path = tmp_path / "nodes.yaml"
    path.write_text(text)
    with pytest.raises(InventoryError) as raised:
        read_inventory(path)
    said = f"{raised.value.message} {raised.value.hint}"
    assert said.startswith(f"{path}:{line}:"), said
    assert all(word in said for word in words), said
    assert raised.value.hint


def test_adding_and_removing_leaves_every_other_line_alone(inventory: Path) -> None:
    add_machines(inventory, [Machine("delta", "10.0.0.4", gpus=(1,), scratch="/big disk"), Machine("e")])
    text = inventory.read_text()
    assert text.startswith(FULL)
    assert read_inventory(inventory)[3:] == [
        Machine("delta", "10.0.0.4", gpus=(1,), scratch="/big disk"),
        Machine("e"),
    ]
    remove_machine(inventory, "alpha")
    text = inventory.read_text()
    assert "The team's machines" in text
    assert "on loan" in text
    assert [each.name for each in read_inventory(inventory)] == ["beta", "gamma", "delta", "e"]
    for name in ("e", "beta", "gamma", "delta"):
        remove_machine(inventory, name)
    assert read_inventory(inventory) == []
    assert "The team's machines" in inventory.read_text()


def test_a_linked_inventory_stays_a_link(inventory: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.yaml"
    link.symlink_to(inventory)
    add_machines(link, [Machine("delta")])
    assert link.is_symlink()
    assert read_inventory(inventory)[-1].name == "delta"


def test_a_name_that_is_not_there_gets_a_near_one(inventory: Path) -> None:
    machines = read_inventory(inventory)
    assert [each.name for each in choose(machines, ["gamma", "alpha", "gamma"])] == ["gamma", "alpha"]
    with pytest.raises(NoSuchMachineError) as raised:
        choose(machines, ["alhpa"])
    assert "alpha" in raised.value.hint
    assert raised.value.exit_code == 3


def test_hosts_of_the_ssh_configuration_without_patterns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    folder = tmp_path / ".ssh"
    (folder / "more").mkdir(parents=True)
    (folder / "config").write_text(
        'Include more/*\nHost one two !three *.example "four"\n  HostName 10.0.0.1\nhost=five\nHost *\nInclude config\n'
    )
    (folder / "more/extra").write_text("Host zero\n")
    assert aliases() == ["zero", "one", "two", "four", "five"]


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("ssh: Could not resolve hostname a: Name or service not known", "unknown name"),
        ("ssh: connect to host 10.0.0.1 port 22: Connection refused", "refused"),
        ("ssh: connect to host 10.0.0.1 port 22: Connection timed out", "unreachable"),
        ("ssh: connect to host 10.0.0.1 port 22: No route to host", "unreachable"),
        ("Connection timed out during banner exchange", "unreachable"),
        ("No ED25519 host key is known for a and you have requested strict checking.\n"
         "Host key verification failed.", "unknown host key"),
        ("@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @\nIT IS POSSIBLE ...\n"
         "Host key verification failed.", "changed host key"),
        ("u@a: Permission denied (publickey).", "permission denied"),
        ("u@a: Permission denied (publickey,gssapi-keyex,keyboard-interactive).", "needs login"),
        ("u@a: Permission denied (keyboard-interactive).", "needs login"),
        ("/home/u/.ssh/config: line 3: Bad configuration option: hostnam", "ssh configuration"),
        ("kex_exchange_identification: Connection closed by remote host", "broken"),
        ("", "broken"),
    ],
)  # fmt: skip
def test_every_complaint_of_ssh_becomes_a_sentence_with_a_remedy(said: str, kind: str) -> None:
    error = ssh.what_went_wrong("a", 255, said)
    assert error.kind == kind
    assert error.message
    assert error.hint


def test_words_of_the_remote_program_are_not_taken_for_those_of_ssh() -> None:
    assert ssh.what_went_wrong("a", 1, "bind: Permission denied (publickey)").kind == "broken"
    assert ssh.what_went_wrong("a", 127, "fttui: /opt/python is not there").kind == "no python"


@pytest.mark.parametrize("shell", ["sh", "bash", "zsh", "fish"])
def test_every_login_shell_starts_the_python_that_was_asked_for(shell: str, tmp_path: Path) -> None:
    python = tmp_path / "a $HOME 'python"
    python.symlink_to(sys.executable)
    program = b"print(sys.version_info[0], sys.stdin.readline())"
    done = subprocess.run(
        [shell, "-c", BOOTSTRAP],
        input=b"%s\n%d\n%sthe rest\n" % (os.fsencode(python), len(program), program),
        capture_output=True,
        check=True,
        cwd=tmp_path,
    )
    assert done.stdout.split() == [b"3", b"the", b"rest"]


@pytest.mark.parametrize("name", ["-oProxyCommand=reboot", "", "a b", "a;b", "%h", "../x"])
def test_nothing_but_a_name_reaches_ssh(name: str) -> None:
    with pytest.raises(FttuiError):
        ssh.command(name, "true")


def test_folder_of_connections_must_be_private(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    short = Path("/tmp") / f"r{os.getpid()}"
    short.mkdir(mode=0o700)
    try:
        monkeypatch.setenv("XDG_RUNTIME_DIR", str(short))
        folder = ssh.control_folder()
        assert folder == short / "fttui-ssh"
        assert folder.stat().st_mode & 0o777 == 0o700
        folder.chmod(0o777)
        with pytest.raises(FttuiError, match="private"):
            ssh.control_folder()
        folder.rmdir()
        folder.symlink_to(tmp_path)
        with pytest.raises(FttuiError, match="private"):
            ssh.control_folder()
        folder.unlink()
    finally:
        short.rmdir()


@pytest.mark.parametrize("count", [2, 3, 4, 7, 64])
def test_every_pair_is_measured_once_and_no_machine_twice_at_a_time(count: int) -> None:
    names = [f"n{number}" for number in range(count)]
    table = rounds(names)
    pairs = [frozenset(pair) for each in table for pair in each]
    assert len(pairs) == len(set(pairs)) == count * (count - 1) // 2
    for each in table:
        busy = [name for pair in each for name in pair]
        assert len(busy) == len(set(busy))


def test_what_a_step_waits_for_is_what_was_measured() -> None:
    # Measured between two machines with 8.4 MB of gradients at 1 Gbit/s: a step took 70 ms longer.
    assert exchange_seconds(8_400_000, 2, [Link("a", "b", 125e6, 0.0001)]) == pytest.approx(0.067, abs=0.001)
    links = [Link("a", "b", 1e9, 0.0), Link("b", "c", 1e8, 0.0), Link("a", "c", 1e9, 0.0)]
    assert exchange_seconds(3_000_000, 3, links) == pytest.approx(0.04)
    assert exchange_seconds(8_400_000, 2, [Link("a", "b", None, None)]) is None


@pytest.mark.parametrize(
    ("scenario", "expected"),
    [
        ("eight_p4", [("Tesla P4", [6, 1])] * 8),
        ("not_loaded", "the driver says"),
        ("none", "lists no GPU"),
    ],
)
def test_gpus_are_read_without_any_package(tmp_path: Path, scenario: str, expected: object) -> None:
    library = fake_driver.build(tmp_path / "driver")
    program = Path(nvml.__file__).read_text() + "\nimport json\nprint(json.dumps(look_at_gpus()))"
    environment = {"LD_LIBRARY_PATH": str(library), "FAKE_NVML": scenario, "PATH": os.environ["PATH"]}
    done = subprocess.run(
        [sys.executable, "-I", "-c", program], env=environment, capture_output=True, text=True, check=True
    )
    said = json.loads(done.stdout)
    if isinstance(expected, str):
        assert expected in said["trouble"]
        assert said["gpus"] == []
    else:
        assert [(gpu["name"], gpu["compute_capability"]) for gpu in said["gpus"]] == expected
        assert all(0 < gpu["free_bytes"] <= gpu["memory_bytes"] for gpu in said["gpus"])


def test_an_archive_brings_files_over_and_never_leaves_the_folder(tmp_path: Path) -> None:
    source, scratch = tmp_path / "source", tmp_path / "scratch"
    (source / "deep/er").mkdir(parents=True)
    long_name = "deep/er/" + "x" * 150
    contents = {"a.json": b"{}", "empty": b"", long_name: os.urandom(70_000)}
    for name, content in contents.items():
        (source / name).write_bytes(content)
    stream = tmp_path / "stream"
    stream.write_bytes(b"".join(archive({name: source / name for name in contents})) + b"next request")
    with stream.open("rb") as file:
        assert files.receive(file, str(scratch), "copy") == {"trouble": ""}
        # The reader takes exactly the archive: what follows in the stream is somebody else's.
        assert file.read() == b"next request"
    digest = files.describe(str(source))["digest"]
    done = files.finish(str(scratch), "copy", "", digest)
    assert {name: Path(done["path"], name).read_bytes() for name in contents} == contents

    escape = tmp_path / "escape"
    escape.write_bytes(b"".join(archive({"../../../outside": source / "a.json"})))
    with escape.open("rb") as file:
        assert "no ordinary file" in files.receive(file, str(scratch), "other")["trouble"]
    assert not (tmp_path / "outside").exists()
    with pytest.raises(ValueError, match="name"):
        files.held(str(scratch), "../outside", "")


def test_a_copy_of_another_content_does_not_get_its_place(tmp_path: Path) -> None:
    source = tmp_path / "a.json"
    source.write_bytes(b"{}")
    stream = tmp_path / "stream"
    stream.write_bytes(b"".join(archive({"a.json": source})))
    with stream.open("rb") as file:
        files.receive(file, str(tmp_path), "copy")
    done = files.finish(str(tmp_path), "copy", "a.json", "0" * 32)
    assert "not what was sent" in done["trouble"]
    assert files.copied(str(tmp_path), "copy", "a.json") is None
