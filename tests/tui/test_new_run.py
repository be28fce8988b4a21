"""A new run in five steps: what is proposed, what is shown of a choice, going back, leaving and coming back."""

import json
import shlex
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fttui.cli.arguments import verb_parser
from fttui.wizard import data_look
from fttui_engine.launch import verbs
from fttui_engine.runs.run import all_runs, find_run
from fttui_engine.runs.states import State
from fttui_engine.runs.summary import summarize
from fttui_engine.spec.load import resolve
from run_maker import SIZES

NARROW = (80, 24)


@pytest.fixture
def here(tmp_path, monkeypatch):
    """The folder that the program is started in."""
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    return folder


async def to_step(screen, number: int) -> None:
    """Go on from the first step with what is proposed; the data are not looked at."""
    await screen.press("n")
    await screen.sees("[1 Profile]", "▌*demo")
    if number == 5:
        await screen.press("f8")
        await screen.sees("[5 Review]", "This configuration can be started")
        return
    if number > 1:
        await screen.press("enter")
        await screen.sees("[2 Model]", "fits, ")
    if number > 2:
        await screen.press("enter")
        await screen.sees("[3 Data]", "189 instructions")
    if number > 3:
        # The look goes on while the steps behind it are taken.
        await screen.press("enter")
        await screen.sees("reading the data")
        await screen.press("enter")
        await screen.sees("[4 Hardware]", "as configured")


async def test_five_times_enter_leads_to_a_run_that_trains(home, here, open_cockpit):
    """The whole way once, with the real process that reads the data and a real start."""
    async with open_cockpit(NARROW) as screen:
        await to_step(screen, 3)
        await screen.press("enter")
        await screen.until(lambda: "example 1 of 12 shown" in screen.text, "the examples", seconds=90)
        await screen.sees("189 examples, 6872 tokens, 40 % of them learned", "cutoff_len 256")
        await screen.sees("Name the three primary colours of paint.<|im_end|>")
        learned = [span for span in spans_of(screen) if span.role == "good"]
        assert "".join(span.text for span in learned).startswith("The three primary colours of paint are red")
        await screen.press("enter")
        await screen.sees("[4 Hardware]", "CPU (use_cpu)", "One process", "It fits")
        await screen.press("enter")
        await screen.sees(
            "[5 Review]", "8 examples per step: 4 x 2", "120: 189 examples, 24 per epoch, 5 epochs"
        )
        await screen.sees("fttui start --profile demo", "the run takes", "Name     demo")
        await screen.press("enter")
        await screen.hears("demo is started")
        await screen.sees("demo  ")
        run = find_run("demo", home)
        verbs.stop(run, now=True)
        await screen.until(lambda: not summarize(run).state.is_live, "the run to end")
        await screen.press("n")
        await screen.sees("[1 Profile]", "▌*demo")


def spans_of(screen):
    panel = screen.cockpit.screen._steps[2].panel
    return [span for line in panel._lines for span in line]


async def test_what_this_machine_cannot_do_says_why(home, here, open_cockpit):
    async with open_cockpit((120, 40)) as screen:
        await to_step(screen, 1)
        await screen.press("down")
        await screen.sees("Not for this machine as it is: It needs", "No NVIDIA GPU on this machine")
        await screen.press("up")
        await screen.sees("A first run on any machine")
        await screen.until(lambda: "Not for this machine as it is" not in screen.text, "the reason to go")


@pytest.mark.parametrize("size", SIZES)
async def test_every_step_keeps_its_keys_and_its_field_in_sight(size, home, here, open_cockpit):
    async with open_cockpit(size) as screen:
        await to_step(screen, 2)
        assert "Model  type to search" in screen.text
        assert screen.lines[-1].startswith(" enter next") and "esc back" in screen.lines[-1]
        await screen.press("enter")
        await screen.sees("Data  type to search", "esc back")
        await screen.press("escape", "escape", "escape")
        await screen.sees("There are no runs yet")


async def test_going_back_and_leaving_loses_nothing(home, here, open_cockpit):
    async with open_cockpit(NARROW) as screen:
        await to_step(screen, 2)
        await screen.press(*"some/model")
        await screen.sees("some/model is not on this host yet")
        await screen.press("escape", "escape")
        await screen.sees("There are no runs yet")
        await screen.press("n")
        await screen.sees("[1 Profile]", "▌*demo")
        await screen.press("enter")
        await screen.sees("[2 Model]", "Model  some/model", "some/model is not on this host yet")
        for _ in "some/model":
            await screen.press("backspace")
        await screen.sees("demo:tiny                               as configured", "It fits")


async def test_a_lost_connection_loses_nothing_either(home, here, open_cockpit):
    async with open_cockpit(NARROW) as screen:
        await to_step(screen, 2)
        await screen.press(*"some/model", "enter")
        await screen.sees("[3 Data]")
        await screen.press(*"some-data")
        await screen.until(lambda: "some-data" in kept(home), "what was chosen on disk")
    # Another program, as after a connection that was lost.
    async with open_cockpit(NARROW) as screen:
        await screen.press("n")
        await screen.hears("f9 begins anew")
        await screen.sees("[1 Profile]", "▌*demo")
        await screen.press("enter")
        await screen.sees("[2 Model]", "Model  some/model")
        await screen.press("enter")
        await screen.sees("[3 Data]", "Data  some-data")
        await screen.press("f9")
        await screen.sees("[1 Profile]", "▌*demo")
        await screen.until(lambda: kept(home) == "", "nothing to be kept")
        await screen.press("enter")
        await screen.sees("[2 Model]", "demo:tiny                               as configured")


def kept(home: Path) -> str:
    path = home / "new-run.json"
    return path.read_text() if path.exists() else ""


async def test_a_file_that_was_changed_meanwhile_is_checked_again(home, here, open_cockpit):
    Path("mine.yaml").write_text("model_name_or_path: demo:tiny\ndataset: demo:instructions\nseed: x\n")
    async with open_cockpit(NARROW) as screen:
        await screen.press("n")
        await screen.sees("[1 Profile]")
        await screen.press(*"mine.yaml")
        await screen.sees("mine.yaml:3")
        await screen.press("f1")
        await screen.sees("Keys")
        Path("mine.yaml").write_text("model_name_or_path: demo:tiny\ndataset: demo:instructions\n")
        await screen.press("escape")
        await screen.sees("mine.yaml can be read")


def make_model(folder: Path) -> Path:
    folder.mkdir(parents=True)
    sizes = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4}
    shape = {"model_type": "llama", "vocab_size": 1000, "num_key_value_heads": 4, **sizes}
    (folder / "config.json").write_text(json.dumps(shape))
    (folder / "model.safetensors").write_bytes(b"x" * 3_000_000)
    return folder


async def test_models_on_this_host_are_listed_with_size_and_whether_they_fit(home, here, open_cockpit):
    cached = here.parent / "hub" / "hub" / "models--some--thing"
    make_model(cached / "snapshots" / "abc")
    (cached / "refs").mkdir()
    (cached / "refs" / "main").write_text("abc")
    make_model(here / "models" / "mine")
    async with open_cockpit((120, 40)) as screen:
        await to_step(screen, 2)
        for name in ("some/thing", "models/mine"):
            row = next(line for line in screen.lines if name in line)
            assert "llama" in row and "2.9M" in row and "fits, " in row, row
        await screen.press(*"mine", "down")
        await screen.sees("▌models/mine")
        await screen.press("enter")
        await screen.sees("[3 Data]")
        assert screen.cockpit.new_run.wish.model == "models/mine"
        assert (
            str(here / "models" / "mine")
            == screen.cockpit.new_run.judged.resolved.values["model_name_or_path"]
        )


async def test_data_are_found_by_name_by_path_and_through_folders(home, here, open_cockpit):
    (here / "data" / "deeper").mkdir(parents=True)
    (here / "data" / "dataset_info.json").write_text('{"listed": {"file_name": "listed.jsonl"}}')
    for name in ("listed.jsonl", "deeper/inside.jsonl"):
        (here / "data" / name).write_text('{"instruction": "a", "output": "b"}\n')
    async with open_cockpit((120, 40)) as screen:
        await to_step(screen, 3)
        await screen.sees("listed  ", "./data/listed.jsonl")
        await screen.press(*"./data/de", "down")
        await screen.sees("▌./data/deeper/")
        await screen.press("enter")
        await screen.sees("Data  ./data/deeper/", "./data/deeper/inside.jsonl")
        await screen.press(*"ins", "tab")
        await screen.sees("Data  ./data/deeper/inside.jsonl")
        assert screen.cockpit.new_run.wish.dataset == "./data/deeper/inside.jsonl"


async def test_a_look_that_fails_says_why_and_one_that_is_cancelled_leaves_nothing(
    home, here, open_cockpit, monkeypatch
):
    broken = here / "broken.jsonl"
    # Deeper than the check before looks.
    broken.write_text('{"instruction": "a", "output": "b"}\n' * 3000 + "no json\n")
    begun = []
    real = data_look.Looker._look

    def look(self, number, look, resolved):
        begun.append(look)
        real(self, number, look, resolved)

    monkeypatch.setattr(data_look.Looker, "_look", look)
    async with open_cockpit((120, 40)) as screen:
        await to_step(screen, 3)
        await screen.press("enter")
        await screen.sees("reading the data")
        await screen.until(lambda: screen.cockpit.screen._looker._process is not None, "the process")
        first = screen.cockpit.screen._looker._process._child
        await screen.press("escape")
        await screen.sees("[3 Data]", "enter reads the data")
        await screen.until(lambda: first.poll() is not None, "the process to end", seconds=30)
        await screen.press(*"./broken.jsonl")
        await screen.until(lambda: screen.cockpit.new_run.judged is not None, "the verdict")
        await screen.press("enter")
        await screen.until(lambda: "Expecting value at column 1 (put one" in screen.text, "why", seconds=60)
        assert "fttui check says more" not in screen.text
    assert len(begun) == 2


HOLDER = """
import time
from fttui_engine.launch.data_report import DataLook
from fttui_engine.spec.load import resolve
look = DataLook(resolve(None, profile="demo", overrides=["dataset=large.jsonl"]), 1)
print(look._child.pid, flush=True)
time.sleep(100)
"""


def test_a_look_ends_with_the_program_that_wanted_it(home, here):
    # Records for half a minute.
    Path("large.jsonl").write_text('{"instruction": "a", "output": "b"}\n' * 150_000)
    with subprocess.Popen([sys.executable, "-c", HOLDER], stdout=subprocess.PIPE) as holder:
        pid = int(holder.stdout.readline())
        holder.kill()
    deadline = time.monotonic() + 10
    while Path(f"/proc/{pid}").exists() and Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z":
        assert time.monotonic() < deadline, "it goes on reading data that nobody will see"
        time.sleep(0.05)


async def test_only_the_first_records_of_large_data_are_looked_at_unless_all_are_wanted(home, here):
    large = here / "large.jsonl"
    large.write_text('{"instruction": "a", "output": "b"}\n')
    words = ["model_name_or_path=demo:tiny", f"dataset={large}"]
    assert data_look._limited(resolve(None, overrides=words), all_records=False)[1] is None
    with large.open("ab") as file:
        file.truncate(data_look.SMALL_BYTES + 1)
    limited, limit = data_look._limited(resolve(None, overrides=words), all_records=False)
    assert limited.values["max_samples"] == limit == data_look.FIRST_RECORDS
    assert data_look._limited(resolve(None, overrides=words), all_records=True)[1] is None


async def test_what_is_saved_starts_what_was_reviewed(home, here, open_cockpit):
    async with open_cockpit((120, 40)) as screen:
        await to_step(screen, 5)
        await screen.press("tab", "tab", *"learning_rate=1e-5 run.environment={A:\\ b}")
        await screen.until(lambda: "1e-05" in screen.text, "the change")
        await screen.press("enter", "w")
        await screen.hears("demo.yaml")
        await screen.press("w")
        await screen.hears("demo.2.yaml")
        wish = screen.cockpit.new_run.wish
    reviewed = resolve(None, profile="demo", overrides=wish.overrides())
    saved = resolve(here / "demo.yaml")
    assert saved.ok and saved.values == reviewed.values
    assert saved.values["learning_rate"] == 1e-5
    assert oct((here / "demo.yaml").stat().st_mode & 0o777) == "0o600"
    arguments = verb_parser("start").parse_args(shlex.split(wish.command())[2:])
    assert resolve(None, profile=arguments.profile, overrides=arguments.set).values == reviewed.values


async def test_a_change_that_is_wrong_is_explained_and_nothing_starts(home, here, open_cockpit):
    async with open_cockpit(NARROW) as screen:
        await to_step(screen, 5)
        await screen.press("tab", "tab", *"max_steps=many")
        await screen.sees("1 to correct", "max_steps")
        await screen.press("enter", "enter")
        await screen.hears("something to correct")
        await screen.press("tab", "tab", *["backspace"] * 4, "5")
        await screen.sees("This configuration can be started", "5 (max_steps)")
    assert all_runs(home) == []


async def test_a_run_may_wait_for_gpus(home, here, open_cockpit):
    """It wants none here, and so its turn comes at once."""
    async with open_cockpit(NARROW) as screen:
        await to_step(screen, 5)
        await screen.press("q")
        await screen.hears("demo is")
        run = find_run("demo", home)
        assert run.queue_path.exists()
        verbs.stop(run, now=True)
        await screen.until(lambda: not summarize(run).state.is_live, "the run to end")


async def test_a_name_that_is_none_is_explained(home, here, open_cockpit):
    async with open_cockpit(NARROW) as screen:
        await to_step(screen, 5)
        await screen.press("tab", "home", "minus", "enter")
        await screen.hears("'-demo' cannot be the name of a run")
    assert all_runs(home) == []


@pytest.mark.parametrize("typed", ["/no/such/file.yaml", "/", "~nobody/x", "a\u202eb[/]"])
async def test_a_file_that_is_none_is_explained_where_it_is_named(typed, home, here, open_cockpit):
    async with open_cockpit(NARROW) as screen:
        await screen.press("n")
        await screen.sees("[1 Profile]", "YAML file")
        screen.cockpit.screen._steps[0].field.value = typed
        await screen.until(lambda: "checking" not in screen.text and "What it is" in screen.text, "a verdict")
        await screen.press("enter")
        await screen.sees("[1 Profile]")
        assert "There is no file" in screen.text or "x " in screen.text or "cannot" in screen.text


async def test_a_file_with_errors_is_explained_line_by_line(home, here, open_cockpit):
    Path("wrong.yaml").write_text(
        "model_name_or_path: demo:tiny\ndataset: demo:instructions\nlearning_rat: 1e-4\nseed: x\n"
    )
    async with open_cockpit(NARROW) as screen:
        await screen.press("n")
        await screen.sees("[1 Profile]")
        await screen.press(*"wro", "tab")
        await screen.sees("YAML file  wrong.yaml")
        await screen.sees("wrong.yaml:3", "learning_rate?", "wrong.yaml:4")
    assert all_runs(home) == []


async def test_gpus_are_picked_one_by_one(home, here, open_cockpit, monkeypatch):
    """Without GPUs here, by what the driver would say; the panel is the wish's own."""
    from fttui.wizard import hardware_step
    from fttui.wizard.offers import GpuOffer

    gpus = [GpuOffer(n, "H100", 70 << 30, 80 << 30, ("run other 9.0G",) if n else ()) for n in range(3)]
    monkeypatch.setattr(hardware_step, "offer_gpus", lambda: (gpus, ""))
    async with open_cockpit((120, 40)) as screen:
        await to_step(screen, 4)
        await screen.sees("GPU 1 H100", "70.0G of 80.0G free", "run other 9.0G")
        await screen.press("down", "down", "down")
        assert screen.cockpit.new_run.wish.gpus == "0"
        await screen.press("down", "down", "space")
        assert screen.cockpit.new_run.wish.gpus == "2"
        await screen.press("up", "space")
        await screen.until(lambda: screen.cockpit.new_run.wish.gpus == "1,2", "both")
        await screen.sees("[x] GPU 1", "[x] GPU 2", "No NVIDIA GPU on this machine")
        await screen.press("s", "s")
        await screen.until(lambda: screen.cockpit.new_run.wish.strategy == "ddp", "the strategy")
        words = screen.cockpit.new_run.wish.overrides()
        assert words == ["run.gpus=[1,2]", "use_cpu=false", "run.strategy=ddp"]


async def test_the_time_is_that_of_an_earlier_run_of_the_same_settings(home, here, make_run, open_cockpit):
    from fttui_engine.spec.resolved import write_spec

    run = make_run("earlier", State.FINISHED, step=30)
    write_spec(resolve(None, profile="demo"), run.spec_path)
    async with open_cockpit((120, 40)) as screen:
        await to_step(screen, 5)
        await screen.sees("about 48s, at 0.4 s per step as in run earlier")
