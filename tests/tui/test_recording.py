"""Recordings: what of a run is handed on, what of it is masked, and that replaying shows and changes nothing else."""

import json
import os
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import pytest

from fttui.recording import as_json, opened, rebuilt
from fttui.settings import Settings
from fttui.snapshot import Hardware
from fttui_engine.errors import WrongRequestError
from fttui_engine.runs.recording import HEAD_BYTES, TAIL_BYTES, masked
from fttui_engine.runs.states import State

SECRETS = (
    "HF_TOKEN=hf_abcdefghijklmnopqrstuvwxyz",
    '{"WANDB_API_KEY": "0123456789abcdef0123456789abcdef01234567"}',
    "logging in with hf_ABCDEFGHIJKLMNOPQRSTUVWXYZ to the hub",
    "cloning https://ada:p4ssw0rd@example.org/data.git",
    "export AWS_SECRET_ACCESS_KEY='wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY'",
    "Authorization: Bearer abcdefgh12345678",
    "password: hunter2hunter2",
    "DJANGO_SECRET_KEY=abcdefgh-1",
)
INNOCENT = (
    '{"step": 3, "tokens": 123456, "tokens_per_second": 18400.0, "learned_tokens": 1234567}',
    "pad_token: <|endoftext|>",
    "special token: null",
    "https://example.org:8080/models/meta-llama",
)


@pytest.mark.parametrize("text", SECRETS)
def test_what_looks_like_a_secret_is_masked(text):
    hidden = masked(text)
    assert "********" in hidden
    for word in ("abcdefgh", "ABCDEFGH", "0123456789abcdef", "p4ssw0rd", "wJalr", "hunter2"):
        assert word not in hidden


@pytest.mark.parametrize("text", INNOCENT)
def test_what_is_none_stays_as_it_is(text):
    assert masked(text) == text


def test_masking_takes_time_by_the_length_of_a_line_and_not_by_its_square():
    start = time.process_time()
    for text in ("a" * 1_000_000, "eyJ" * 300_000, "token " * 150_000, "://" * 300_000, "key:" * 200_000):
        masked(text)
    assert time.process_time() - start < 10


def record(home, *words, code=0):
    environment = {**os.environ, "FTTUI_HOME": str(home)}
    done = subprocess.run(
        [sys.executable, "-m", "fttui", "record", *words],
        env=environment, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == code, done
    return done


def test_a_recording_holds_no_weights_no_secrets_and_no_endless_log(home, make_run, tmp_path):
    run = make_run("busy", step=45, max_steps=100, log="")
    with run.attempt(1).log_path.open("w") as log:
        log.write("the first line HF_TOKEN=hf_abcdefghijklmnopqrstuvwxyz\n")
        log.writelines(f"line {number:09} {'x' * 80}\n" for number in range(30_000))
        log.write(f"the last line of {Path.home()}/data\n")
    (run.path / "model.safetensors").write_bytes(b"weights" * 1000)
    (run.path / "outside.log").symlink_to("/etc/hostname")
    file = tmp_path / "bug.tar.gz"
    assert record(home, "busy", str(file)).stdout.strip() == str(file)
    with tarfile.open(file) as archive:
        contents = {each.name: archive.extractfile(each).read() for each in archive.getmembers()}
    assert not [name for name in contents if "model" in name or "outside" in name or "checkpoint-" in name]
    log = contents["runs/busy/attempts/001/log"]
    assert len(log) < HEAD_BYTES + TAIL_BYTES + 200
    assert log.startswith(b"the first line HF_TOKEN=********\n")
    assert log.endswith(b"the last line of ~/data\n")
    assert b"bytes are not in this recording]" in log
    assert not any(b"hf_abc" in each for each in contents.values())
    assert "is there already" in record(home, "busy", str(file), code=2).stderr
    assert "not the name of an archive" in record(home, "busy", str(tmp_path / "x.zip"), code=2).stderr


async def test_a_replay_shows_the_run_as_it_was_and_changes_nothing(home, make_run, tmp_path, open_cockpit):
    make_run("busy", step=45, max_steps=100, log="the log\n")
    make_run("over", State.FINISHED, step=60)
    file = tmp_path / "bug.tar.gz"
    record(home, "busy", "over", str(file))
    with opened(file) as recording:
        before = {path: path.read_bytes() for path in recording.home.rglob("*") if path.is_file()}
        settings = Settings(read_only=True, restore_session=False)
        async with open_cockpit((120, 40), select="busy", settings=settings, recording=recording) as screen:
            await screen.sees("recording", "> running     busy", "45/100", "the log", "v finished    over")
            await screen.press("enter", "3")
            await screen.sees("40", "20", "1000B")
            await screen.press("escape", "s")
            await screen.hears("Read-only")
        after = {path: path.read_bytes() for path in recording.home.rglob("*") if path.is_file()}
        assert after == before
    assert not recording.home.exists()


def test_hardware_is_read_back_as_it_was_written():
    file = Path(__file__).parent / "recordings" / "five-runs" / "recording.json"
    hardware = rebuilt(Hardware, json.loads(file.read_text())["hardware"])
    assert hardware.gpus.gpus[6].detail.slowed_by
    assert rebuilt(Hardware, json.loads(json.dumps(as_json(hardware)))) == hardware


def test_what_is_no_recording_is_refused_in_a_sentence(tmp_path):
    (tmp_path / "not.tar.gz").write_bytes(b"hello")
    for path in (tmp_path, tmp_path / "missing.tar.gz", tmp_path / "not.tar.gz"):
        with pytest.raises(WrongRequestError) as error, opened(path):
            pass
        assert str(path) in error.value.message
        assert "fttui record" in error.value.hint
