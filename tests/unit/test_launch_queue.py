"""Sweeps, what is started at boot, and the warning before a host kills at logout."""

import shutil
import subprocess
from pathlib import Path

import pytest

from fttui_engine.errors import WrongRequestError
from fttui_engine.launch import autostart
from fttui_engine.launch.logout import logout_danger
from fttui_engine.launch.queue import variations
from fttui_engine.runs.queueing import QueueRequest, read_queue_request, write_queue_request
from fttui_engine.runs.run import check_name


def test_a_sweep_is_every_combination_with_a_name_that_says_which() -> None:
    found = variations("base", ["learning_rate=1e-4, 2e-4", "lora_rank=8,16"])
    assert [each.name for each in found] == [
        "base-lr1e-4-rank8",
        "base-lr1e-4-rank16",
        "base-lr2e-4-rank8",
        "base-lr2e-4-rank16",
    ]
    assert found[1].overrides == ("learning_rate=1e-4", "lora_rank=16")


@pytest.mark.parametrize(
    "value", ["[a,b],[c]", "x y,z", "/a/b,/c/d", "..,-", "q" * 90 + ",r", "{a: 1},{a: 2}"]
)
def test_names_of_a_sweep_can_be_names_whatever_the_values_hold(value: str) -> None:
    found = variations("b" * 64, [f"lora_target={value}"])
    assert len(found) == 2 and all(check_name(each.name) for each in found)


@pytest.mark.parametrize(
    ("sweeps", "said"),
    [
        (["learning_rate"], "no KEY=VALUE"),
        (["=1,2"], "no KEY=VALUE"),
        (["seed=1,,2"], "no KEY=VALUE"),
        (["seed=1,1"], "a value twice"),
        (["seed=1,2", "seed=3"], "names seed twice"),
        ([f"seed={','.join(map(str, range(101)))}"], "101 runs"),
    ],
)
def test_a_sweep_that_cannot_be_meant_is_refused(sweeps: list[str], said: str) -> None:
    with pytest.raises(WrongRequestError, match=said):
        variations("base", sweeps)


def test_what_a_run_waits_for_is_read_as_it_was_written_and_damage_is_no_error(tmp_path: Path) -> None:
    path = tmp_path / "queue.json"
    request = QueueRequest(5.0, 2, (0, 3), -7, True, ("a", "b"), "s", (("seed", "1"),))
    write_queue_request(path, request)
    assert read_queue_request(path) == request
    assert read_queue_request(tmp_path / "none.json") is None
    path.write_text(
        '{"gpus": "x", "only": {}, "priority": 1e9, "after": 3, "varied": [1, ["a"]], "queued_at": -1}'
    )
    damaged = read_queue_request(path)
    assert damaged and damaged._replace(queued_at=0.0) == QueueRequest(0.0)


@pytest.fixture
def odd_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FTTUI_HOME", str(tmp_path / 'st a%t$e"x'))
    monkeypatch.setenv("HF_HOME", "/a b\\c")
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return tmp_path


def test_the_unit_is_one_that_systemd_takes_and_holds_no_token(odd_places: Path) -> None:
    text = autostart.unit_text()
    assert "hf_secret" not in text and "RemainAfterExit=yes" in text
    assert 'st a%%t$e\\"x' in text and 'HF_HOME=/a b\\\\c"' in text
    if analyze := shutil.which("systemd-analyze"):
        path = odd_places / autostart.UNIT
        path.write_text(text)
        done = subprocess.run([analyze, "verify", str(path)], capture_output=True, text=True, check=False)
        assert done.returncode == 0 and autostart.UNIT not in done.stderr, done.stderr


CRONTAB = """#!/bin/sh
file="$(dirname "$0")/crontab.text"
case "$1" in
-l) [ -e "$file" ] && cat "$file" || { echo "no crontab for me" >&2; exit 1; } ;;
-) cat > "$file" ;;
esac
"""


def test_without_systemd_cron_looks_after_runs_and_other_lines_stay(
    odd_places: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (odd_places / "crontab").write_text(CRONTAB)
    (odd_places / "crontab").chmod(0o755)
    for name in ("sh", "cat", "dirname", "env", "fttui"):
        if place := shutil.which(name):
            (odd_places / name).symlink_to(place)
    monkeypatch.setenv("PATH", str(odd_places))
    table = odd_places / "crontab.text"
    autostart.install()
    table.write_text("0 1 * * * backup\n" + table.read_text())
    autostart.install()
    first, second = table.read_text().splitlines()
    assert first == "0 1 * * * backup" and second.startswith("@reboot ") and autostart.is_installed()
    # What cron hands to the shell, up to the redirection: the words arrive as they were.
    words = second.removeprefix("@reboot ").replace("\\%", "%").partition(" >/dev/null")[0]
    before_program = words.rpartition(" -P -m ")[0].rpartition(" ")[0]
    done = subprocess.run(
        ["sh", "-c", f'{before_program} sh -c \'printf "%s|%s" "$FTTUI_HOME" "$HF_HOME"\''],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == f'{odd_places}/st a%t$e"x|/a b\\c'
    autostart.remove()
    assert table.read_text() == "0 1 * * * backup\n" and not autostart.is_installed()


def host(root: Path, group: str, **files: str) -> Path:
    for name in ("run/systemd/system", "proc/self", "etc/systemd/logind.conf.d", "usr/lib/systemd"):
        (root / name).mkdir(parents=True)
    (root / "proc/self/cgroup").write_text(f"0::/user.slice/user-1.slice/{group}\n")
    places = {
        "shipped": "usr/lib/systemd/logind.conf",
        "local": "etc/systemd/logind.conf",
        "part": "etc/systemd/logind.conf.d/x.conf",
    }
    for name, line in files.items():
        (root / places[name]).write_text(f"[Login]\n{line}\nKillExcludeUsers=\n")
    return root


SESSION = "session-3.scope"


@pytest.mark.parametrize(
    ("group", "files", "danger"),
    [
        (SESSION, {"shipped": "#KillUserProcesses=yes"}, True),
        (SESSION, {"shipped": "#KillUserProcesses=no"}, False),
        (SESSION, {}, False),
        (SESSION, {"shipped": "#KillUserProcesses=yes", "local": "KillUserProcesses=no"}, False),
        (SESSION, {"local": "KillUserProcesses=no", "part": "KillUserProcesses=yes"}, True),
        (SESSION, {"local": "KillUserProcesses=yes\nKillOnlyUsers=somebody-else"}, False),
        ("user@1.service/app.slice/run-1.scope", {"local": "KillUserProcesses=yes"}, False),
    ],
)
def test_killing_at_logout_is_noticed_where_it_would_hit(
    tmp_path: Path, group: str, files: dict[str, str], danger: bool
) -> None:
    said = logout_danger(host(tmp_path, group, **files))
    assert bool(said) is danger and ("enable-linger" in said) is danger
