"""Three real hosts with their own sshd: trust, probing, preflight with something broken on purpose, copying."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import fake_driver
from fttui_engine.doctor.finding import Finding
from fttui_engine.nodes import conversation, ssh
from fttui_engine.nodes.conversation import Conversation
from fttui_engine.nodes.inventory import Machine
from fttui_engine.nodes.needed import Needed, needed_by
from fttui_engine.nodes.preflight import Demands, Report, preflight
from fttui_engine.nodes.ssh import MachineError
from fttui_engine.nodes.sync import copy_to
from fttui_engine.nodes.talks import Talks
from fttui_engine.runs.metrics import read_metrics
from fttui_engine.runs.run import Run
from fttui_engine.runs.states import State
from fttui_engine.runs.summary import summarize
from fttui_engine.spec.load import resolve
from fttui_engine.train.demo import demo_model_path
from real_terminal import Terminal
from run_driver import until
from several_hosts import Host, Laboratory, laboratory

pytestmark = pytest.mark.skipif(os.getuid() != 0, reason="only root may make network namespaces")


@pytest.fixture(scope="module")
def built() -> Iterator[Laboratory]:
    with laboratory() as lab:
        yield lab


@pytest.fixture
def lab(built: Laboratory, monkeypatch: pytest.MonkeyPatch) -> Iterator[Laboratory]:
    """The hosts, seen from a head with their ssh; whatever a test broke is whole again behind it."""
    for key, value in built.environment().items():
        monkeypatch.setenv(key, value)
    yield built
    for host in built.hosts:
        host.open_firewall()
        host.plug_in()
        if not any(Path(f"/proc/{pid}/comm").read_text().startswith("sshd") for pid in host.pids()):
            built.start_sshd(host)
            built.wait_for_sshd(host)
    built.trust(*built.hosts)
    for host in built.hosts:
        ssh.close_connection(host.name)
        # Nothing outlives a conversation: no listener, no Python.
        until(lambda host=host: not others_than_sshd(host), f"what is left on {host.name} to end", 10.0)


def others_than_sshd(host: Host) -> list[str]:
    found = []
    for pid in host.pids():
        try:
            name = Path(f"/proc/{pid}/comm").read_text().strip()
        except FileNotFoundError:
            continue
        if not name.startswith("sshd"):
            found.append(name)
    return found


def machines(lab: Laboratory, **changed: object) -> list[Machine]:
    return [Machine(host.name, python=sys.executable)._replace(**changed) for host in lab.hosts]  # type: ignore[arg-type]


def check(lab: Laboratory, *, port: int = 29500, wanted: list[Machine] | None = None) -> Report:
    with Talks(wanted or machines(lab)) as talks:
        return preflight(talks, master_port=port)


def findings(report: Report, name: str, subject: str) -> list[Finding]:
    return [each for each in report.findings[name] if each.subject == subject]


def fttui(*words: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "fttui", "nodes", *words],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=60,
        check=False,
    )
    assert "Traceback" not in done.stderr, done.stderr
    assert done.returncode == code, done
    return done


def wrapper(lab: Laboratory, name: str, text: str) -> str:
    """A program that stands in for a host's Python and in the end becomes it."""
    path = lab.folder / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


def test_machines_are_added_checked_and_removed_on_the_command_line(lab: Laboratory, home: Path) -> None:
    fttui("add", "h1", "--python", sys.executable)
    fttui("add", "--from-ssh-config", "--python", sys.executable)
    listed = json.loads(fttui("--json").stdout)
    assert [(each["name"], each["addr"], each["interface"]) for each in listed] == [
        (host.name, host.address, "eth0") for host in lab.hosts
    ]
    probed = json.loads(fttui("probe", "--json", "h2").stdout)
    assert probed[0]["facts"]["hostname"] == "h2"
    assert probed[0]["facts"]["packages"]["fttui"] is not None

    done = fttui("check")
    assert "Nothing prevents a training on these 3 machines" in done.stdout
    report = json.loads(fttui("check", "--json").stdout)
    assert report["ok"]
    assert len({(link["source"], link["target"]) for link in report["links"]}) == 6
    assert all(link["bytes_per_second"] > 1e6 for link in report["links"])

    fttui("rm", "h3")
    assert len(json.loads(fttui("--json").stdout)) == 2
    assert "did you mean" in fttui("check", "h22", code=3).stderr


def test_a_key_is_looked_at_once_and_another_one_is_refused(lab: Laboratory, home: Path) -> None:
    fttui("--nodes", str(home) + ".yaml", "add", "h1", "--python", sys.executable)
    inventory = ("--nodes", str(home) + ".yaml")
    ssh.close_connection("h1")
    lab.trust()
    assert "not trusted yet" in fttui(*inventory, "probe", code=1).stdout
    refused = fttui(*inventory, "trust", "h1", code=2)
    fingerprint = subprocess.run(
        ["ssh-keygen", "-lf", lab.hosts[0].folder / "host_key.pub"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()[1]
    assert fingerprint in refused.stdout
    fttui(*inventory, "trust", "h1", "--fingerprint", "SHA256:another", code=1)
    assert lab.known_hosts.read_text() == ""

    with Terminal(argv=[sys.executable, "-m", "fttui", "nodes", *inventory, "trust", "h1"]) as person:
        person.sees("Type yes")
        person.press("yes\r")
        person.ends_within(10)
    fttui(*inventory, "probe")
    assert "already" in fttui(*inventory, "trust", "h1").stdout

    ssh.close_connection("h1")
    other = (lab.hosts[1].folder / "host_key.pub").read_text().split()
    lab.known_hosts.write_text(f"h1 {other[0]} {other[1]}\n")
    assert "another host key" in fttui(*inventory, "probe", code=1).stdout
    changed = fttui(*inventory, "trust", "h1", "--fingerprint", fingerprint, code=1)
    assert "another host key" in changed.stderr
    assert lab.known_hosts.read_text().split()[2] == other[1]


def test_a_second_factor_is_asked_for_by_a_person_only(lab: Laboratory) -> None:
    h1 = lab.hosts[0]
    ssh.close_connection("h1")
    h1.kill_sshd()
    until(lambda: not h1.pids(), "sshd to end", 5.0)
    lab.start_sshd(h1, "PasswordAuthentication yes\nAuthenticationMethods publickey,password\n")
    lab.wait_for_sshd(h1)
    inventory = lab.folder / "login.yaml"
    inventory.write_text(f"h1:\n  python: {sys.executable}\n")
    try:
        assert "fttui nodes login h1" in fttui("--nodes", str(inventory), "probe", code=1).stdout
        assert "asks questions" in fttui("--nodes", str(inventory), "login", "h1", code=2).stderr
        words = [sys.executable, "-m", "fttui", "nodes", "--nodes", str(inventory), "login", "h1"]
        with Terminal(argv=words) as person:
            person.sees("password:")
            person.press("\x03")
            person.ends_within(10)
    finally:
        h1.kill_sshd()
        until(lambda: not h1.pids(), "sshd to end", 5.0)


def test_no_value_of_the_inventory_is_read_by_a_shell(lab: Laboratory, tmp_path: Path) -> None:
    trap = tmp_path / "trap"
    for python in (f"/x$(touch {trap})", f"/x`touch {trap}`", f'/x";touch {trap};"', f"/x\ttouch {trap}"):
        with pytest.raises(MachineError) as raised:
            Conversation(Machine("h1", python=python))
        assert raised.value.kind == "no python"
    strange = tmp_path / "py thon $HOME"
    strange.symlink_to(sys.executable)
    with Conversation(Machine("h1", python=str(strange))) as talk:
        assert talk.python_version == ".".join(map(str, sys.version_info[:3]))
    assert not trap.exists()


def test_a_firewall_and_a_taken_port_are_named_with_what_they_do(lab: Laboratory) -> None:
    h1, h2, h3 = lab.hosts
    squatter = h1.popen(
        sys.executable,
        "-c",
        "import socket, time; s = socket.socket(); s.bind(('', 29501)); s.listen(); print(); time.sleep(60)",
    )
    assert squatter.stdout is not None
    squatter.stdout.readline()
    h2.firewall("DROP", "30000:65535")
    h3.firewall("REJECT", "29501")
    try:
        report = check(lab, port=29501)
    finally:
        squatter.kill()
        squatter.wait()
        squatter.stdout.close()
    assert not report.ok
    (taken,) = [each for each in findings(report, "h1", "ports") if each.level == "problem"]
    assert "port 29501 is taken" in taken.text
    assert str(squatter.pid) in taken.text
    (dropped,) = findings(report, "h2", "ports")
    assert "h1 and h3 cannot reach it" in dropped.text
    assert "29501 is open, but" in dropped.text
    assert "no answer at all" in dropped.text
    assert h1.address in dropped.fix
    (rejected,) = findings(report, "h3", "ports")
    assert "on port 29501 a firewall or router forbids it" in rejected.text
    # A check leaves no port taken, not even for the next one in the same conversation.
    with Talks(machines(lab)[1:]) as talks:
        for _ in range(2):
            again = preflight(talks, master_port=29502)
            assert not [each for each in findings(again, "h2", "ports") if "taken" in each.text]
    # What is open is measured all the same.
    assert all(link.bytes_per_second for link in report.links)


def test_a_lost_machine_is_a_sentence_and_the_others_are_judged(lab: Laboratory) -> None:
    _, h2, h3 = lab.hosts
    with Talks(machines(lab)):
        pass
    assert ssh.is_shared("h3")
    h2.kill_sshd()
    h3.unplug()
    began = time.monotonic()
    report = check(lab)
    # The shared connection with h3 is dead and does not know: 4 s for it, 5 s for a new one.
    assert time.monotonic() - began < 25
    (refused,) = findings(report, "h2", "ssh")
    assert "no ssh server listens" in refused.text
    (silent,) = findings(report, "h3", "ssh")
    assert "does not answer" in silent.text
    assert findings(report, "h1", "ssh")[0].level == "ok"
    assert findings(report, "h1", "versions")[0].level == "ok"

    h3.plug_in()
    with Conversation(Machine("h3", python=sys.executable)) as talk:
        assert abs(float(talk.ask("clock")) - time.time()) < 5


def test_two_names_of_one_machine_are_no_two_machines(lab: Laboratory) -> None:
    h1, h2, h3 = machines(lab)
    report = check(lab, wanted=[h1, h2._replace(addr=lab.hosts[0].address), h3._replace(addr="127.0.0.1")])
    assert "two names of one machine" in findings(report, "h2", "interface")[0].text
    assert any("means every machine itself" in each.text for each in findings(report, "h3", "interface"))
    assert "another machine or program answers" in findings(report, "h2", "ports")[0].text


def test_ctrl_c_does_not_wait_for_a_machine_that_hangs(lab: Laboratory) -> None:
    inventory = lab.folder / "hangs.yaml"
    inventory.write_text(f"h1:\n  python: {wrapper(lab, 'hangs', 'exec cat >/dev/null')}\n")
    words = [sys.executable, "-m", "fttui", "nodes", "--nodes", str(inventory), "probe"]
    process = subprocess.Popen(words, stderr=subprocess.PIPE)
    try:
        until(lambda: "cat" in others_than_sshd(lab.hosts[0]), "the host to hang", 10.0)
        process.send_signal(signal.SIGINT)
        assert process.wait(5.0) == 130
        assert process.stderr is not None
        assert b"Traceback" not in process.stderr.read()
    finally:
        process.kill()
        process.communicate()


def test_a_machine_that_hangs_is_left_behind_in_time(
    lab: Laboratory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conversation, "START_SECONDS", 3.0)
    hung = wrapper(lab, "hung", "exec cat >/dev/null")
    with Talks([Machine("h1", python=hung), Machine("h2", python=sys.executable)]) as talks:
        assert talks.broken["h1"].kind == "timed out"
        assert talks.each(lambda talk: talk.machine.name) == {"h2": "h2"}
    assert not ssh.is_shared("h1")


def test_other_versions_clocks_cards_and_variables_are_told_apart(lab: Laboratory, tmp_path: Path) -> None:
    other = tmp_path / "other"
    subprocess.run(
        [sys.executable, "-m", "venv", "--without-pip", "--system-site-packages", other], check=True
    )
    packages = next(other.glob("lib/python*/site-packages"))
    for name, version in (("torch", "2.8.0"), ("transformers", "5.23.0")):
        (packages / f"{name}-{version}.dist-info").mkdir()
        (packages / f"{name}-{version}.dist-info/METADATA").write_text(f"Name: {name}\nVersion: {version}\n")
    (packages / "clock.pth").write_text(
        "import time; time.right = getattr(time, 'right', time.time); time.time = lambda time=time: time.right() + 3600\n"
    )
    driver = fake_driver.build(tmp_path / "driver")
    cards = f'export LD_LIBRARY_PATH={driver}; FAKE_NVML=cards:%s exec {sys.executable} "$@"'
    h1, h2, h3 = machines(lab)
    h1 = h1._replace(python=wrapper(lab, "old", cards % "Tesla\\ T4,7,5,15360"), gpus=(0, 4))
    h2 = h2._replace(python=str(other / "bin/python"))
    h3 = h3._replace(python=wrapper(lab, "new", "export RANK=0; " + cards % "L4,8,9,23034"))
    report = check(lab, wanted=[h1, h2, h3])
    (torch,) = [each for each in findings(report, "h2", "versions") if each.text.startswith("torch")]
    assert torch.level == "problem"
    assert "torch is 2.8.0 there, 2.13" in torch.text
    assert f"{h2.python} -m pip install torch==2.13" in torch.fix
    (clock,) = findings(report, "h2", "clock")
    assert "3600 s ahead" in clock.text
    assert "GPU 4, but there is no such GPU" in findings(report, "h1", "GPUs")[0].text
    assert any("bfloat16" in each.text for each in findings(report, "h1", "GPUs"))
    assert findings(report, "h3", "GPUs")[0].text == "1 x L4"
    assert "RANK=0" in findings(report, "h3", "environment")[0].text


def test_what_is_missing_is_copied_into_scratch_only_and_goes_on_where_it_was_cut_off(
    lab: Laboratory, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    h1, h2, _ = lab.hosts
    model, data = lab.private / "model", lab.private / "train.jsonl"
    model.mkdir()
    (model / "config.json").write_text('{"model_type": "llama"}')
    (model / "weights.safetensors").write_bytes(os.urandom(6 << 20))
    data.write_text('{"instruction": "a", "output": "b"}\n')
    # The same path holds something else on h2, and nothing on h1.
    (h2.folder / "private/train.jsonl").write_text('{"instruction": "a", "output": "changed"}\n')
    config = lab.folder / "config.yaml"
    config.write_text(f"model_name_or_path: demo:tiny\ndataset: {data}\nfinetuning_type: lora\n")
    adapter = Needed("model", "model_name_or_path", str(model), False, None, 0, model)
    adapter = adapter._replace(**_described(model))
    demands = Demands([adapter, *needed_by(resolve(config))], 0, None, 1000)

    talked = [each._replace(scratch=f"{lab.private}/scratch") for each in machines(lab)[:2]]
    with Talks(talked) as talks:
        before = preflight(talks, demands)
        assert "another content" in findings(before, "h2", "data")[0].text
        assert "is not there" in findings(before, "h1", "data")[0].text
        assert sorted(before.files.missing) == ["h1", "h2"]
        assert before.exchange_seconds is not None

        sent: list[int] = []

        def cut(name: str, needed: Needed, done: int, total: int) -> None:
            sent.append(done)
            if done > 3 << 20:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            copy_to(talks.open["h1"], adapter, cut)
    scratch = h1.folder / "private/scratch"
    assert [each for each in scratch.glob("fttui/copies/*") if not each.name.startswith(".")] == []

    with Talks(talked) as talks:
        began: list[int] = []
        for name in ("h1", "h2"):
            for needed in demands.files:
                copy_to(talks.open[name], needed, lambda name, needed, done, total: began.append(done))
        after = preflight(talks, demands)
    # config.json had arrived whole.
    assert began[0] == (model / "config.json").stat().st_size
    assert after.ok, after.findings
    assert after.files.places["h1"].keys() == {str(model), str(data)}
    for host in (h1, h2):
        copies = host.folder / "private/scratch/fttui/copies"
        assert {each.name for each in copies.rglob("*") if each.is_file()} == {
            "config.json", "weights.safetensors", "train.jsonl",
        }  # fmt: skip
        assert {each.name for each in (host.folder / "private").iterdir()} <= {"scratch", "train.jsonl"}
        copied = next(copies.rglob("weights.safetensors"))
        assert copied.read_bytes() == (model / "weights.safetensors").read_bytes()
    assert "changed" in (h2.folder / "private/train.jsonl").read_text()

    inventory = lab.folder / "sync.yaml"
    inventory.write_text(f"h1:\n  python: {sys.executable}\n  scratch: {lab.private}/other\n")
    command = ("--nodes", str(inventory), "check", "--config", str(config))
    assert "--sync" in fttui(*command, code=1).stdout
    done = fttui(*command, "--sync")
    assert "100 %" in done.stderr
    assert next((h1.folder / "private/other").rglob("train.jsonl")).read_text() == data.read_text()


def test_a_run_over_two_machines_stops_at_one_step_and_goes_on_from_it(lab: Laboratory, home: Path) -> None:
    inventory, config = lab.folder / "two.yaml", lab.folder / "trained.yaml"
    inventory.write_text("".join(f"{name}:\n  python: {sys.executable}\n" for name in ("h1", "h2")))
    # The demo's model, made here: what is missing on a machine is a matter of the tests above.
    config.write_text(
        f"model_name_or_path: {demo_model_path()}\ndataset: demo:instructions\nfinetuning_type: lora\n"
        "max_steps: 100000\nsave_total_limit: 2\nper_device_train_batch_size: 2\nlearning_rate: 1.0e-3\n"
    )
    nodes = ("--nodes", str(inventory))
    h1, h2 = (Run(host.home / ".local/state/fttui/runs/trained") for host in lab.hosts[:2])

    def steps(run: Run) -> list[int]:
        return [point["step"] for point in read_metrics(run.metrics_path)]

    lab.hosts[1].firewall("DROP", "30000:65535")
    assert "h1 cannot reach it" in fttui(*nodes, "start", "--config", str(config), code=1).stdout
    assert not h1.path.exists()
    lab.hosts[1].open_firewall()

    assert fttui(*nodes, "start", "--config", str(config)).stdout.strip() == "trained"
    try:
        until(lambda: len(steps(h1)) > 3 and len(steps(h2)) > 3, "both to train", 90.0)
        assert (
            "h1, h2 has a run trained already"
            in fttui(*nodes, "start", "--config", str(config), code=2).stderr
        )
        fttui(*nodes, "stop", "--run", "trained")
        until(lambda: summarize(h1).state == summarize(h2).state == State.STOPPED, "both to stop", 60.0)
        stopped = steps(h1)[-1]
        assert steps(h1) == steps(h2) == list(range(1, stopped + 1))
        losses = [[point["loss"] for point in read_metrics(run.metrics_path)] for run in (h1, h2)]
        assert losses[0] == losses[1]

        fttui(*nodes, "resume", "--run", "trained")
        until(lambda: min(steps(h1)[-1], steps(h2)[-1]) > stopped, "both to go on", 90.0)
    finally:
        fttui(*nodes, "stop", "--run", "trained", "--now")
    until(lambda: summarize(h1).state == summarize(h2).state == State.STOPPED, "both to end", 30.0)
    assert steps(h1)[: stopped + 1] == list(range(1, stopped + 2))
    listed = json.loads(fttui(*nodes, "runs", "--json").stdout)
    assert [(each["machine"], each["run"]["state"]) for each in listed] == [
        ("h1", "stopped"),
        ("h2", "stopped"),
    ]


def _described(path: Path) -> dict[str, object]:
    from fttui_engine.nodes.on_node.files import describe

    found = describe(str(path))
    return {"digest": found["digest"], "size_bytes": found["bytes"]}
