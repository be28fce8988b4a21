"""The pages about one run, from the keyboard, at three sizes."""

import asyncio
import json

import pytest

from fttui.screens import checkpoint_page
from fttui_engine.runs.metrics import MetricsWriter
from fttui_engine.runs.states import State
from fttui_engine.spec.load import resolve
from fttui_engine.spec.resolved import write_spec
from real_terminal import COCKPIT, Terminal
from run_maker import SIZES, add_steps

PAGES = ("Overview", "Charts", "Checkpoints", "Events", "Config", "Files")


@pytest.fixture
def two_runs(make_run):
    runs = {}
    for name, rate in (("second", "0.01"), ("first", "0.02")):
        run = runs[name] = make_run(name, State.STOPPED, step=80, max_steps=100, log="a line of log\n")
        MetricsWriter(run.metrics_path).append({"step": 80, "eval_loss": 1.375})
        write_spec(resolve(None, profile="demo", overrides=[f"learning_rate={rate}"]), run.spec_path)
    return runs


@pytest.mark.parametrize("size", SIZES)
async def test_every_page_is_reached_by_digit_and_tab(size, two_runs, open_cockpit):
    async with open_cockpit(size, select="first", page="run") as screen:
        for number, name in enumerate(PAGES, 1):
            await screen.press(str(number))
            await screen.sees(f"[{number} {name}]", "first  - stopped  80/100")
        for name in PAGES:
            await screen.press("tab")
            await screen.sees(f" {name}]")
        await screen.press("shift+tab")
        await screen.sees("[5 Config]")
        assert all(len(line) == size[0] for line in screen.lines)
        await screen.press("l")
        await screen.sees("a line of log", "log of attempt 1")
        await screen.press("escape")
        await screen.sees("[5 Config]")
        await screen.press("escape")
        await screen.sees("STATE")


@pytest.mark.parametrize("size", SIZES)
async def test_charts_show_every_metric_alone_and_over_another_run(size, two_runs, open_cockpit):
    async with open_cockpit(size, select="first", page="run") as screen:
        await screen.press("2")
        await screen.sees("loss  first", "x step", "smooth 0.9", "at 80", "o eval")
        await screen.press("m")
        await screen.sees("grad_norm  first")
        await screen.press("M", "o")
        await screen.sees("log  smooth")
        await screen.press("o", "left_curly_bracket", "x")
        await screen.sees("x time  smooth 0.8")
        await screen.press("x", "x", "i")
        await screen.sees(" at 80", "raw 1.290")
        await screen.press("h")
        await screen.until(lambda: " at 80" not in screen.lines[3], "the cursor to move")
        await screen.press("i", "plus")
        await screen.sees("zoomed")
        await screen.press("left", "0")
        await screen.until(lambda: "zoomed" not in screen.text, "the whole axis")
        await screen.press("c")
        await screen.sees("Compare with", "[ ] second")
        await screen.press("space", "escape")
        await screen.sees("a first", "b second")
        more = {
            80: set(),
            120: {"eval_loss  first", "learning_rate"},
            200: {"eval_loss  first", "learning_rate"},
        }
        await screen.sees(*more[size[0]])
        charts = [
            each
            for each in screen.cockpit.screen.query("MetricChart")
            if each.is_on_screen and each.picture.curves
        ]
        await screen.until(
            lambda: all(each.picture.request.dots == each.dots for each in charts), "fitting pictures"
        )


HOSTILE = [
    {"step": 1, "loss": 1e308, "grad_norm": -1e308, "time": -1e308, "tokens": 1e308},
    {"step": 2, "loss": -1e308, "grad_norm": 5e-324, "time": 1e308, "tokens": -5},
    {"step": 3, "loss": 10**400, "\x1b]0;evil\x07": 3.0, "time": 1, "tokens": 10**400},
    {"step": 10**400, "loss": 1.0}, {"step": 1e300, "loss": 1.0}, {"step": -4, "loss": 1.0},
    {"step": 4, "loss": 0.0, "grad_norm": 0, "x" * 500: 1.0, "": 2.0},
    {"step": 5, "loss": 5e-324, "eval_loss": 1e308},
]  # fmt: skip


@pytest.mark.parametrize("size", [*SIZES, (30, 8)])
async def test_numbers_beyond_all_measure_are_survived(size, make_run, open_cockpit):
    run = make_run("hostile")
    run.metrics_path.write_text("".join(json.dumps(point) + "\n" for point in HOSTILE))
    async with open_cockpit(size, select="hostile", page="run") as screen:
        await screen.sees("hostile")
        await screen.press("2")
        await screen.until(lambda: screen.cockpit.screen._metrics, "the metrics")
        for _ in screen.cockpit.screen._metrics:
            await screen.press("i", "o", "x", "plus", "h", "0", "m", "minus")
        await screen.sees("hostile")
        assert "\x1b" not in screen.text


async def test_a_run_without_metrics_says_why_there_is_no_chart(make_run, open_cockpit):
    make_run("sleeper", kind="command")
    make_run("young", State.RUNNING)
    async with open_cockpit(select="sleeper", page="run") as screen:
        await screen.press("2")
        await screen.sees("reports no numbers")
    async with open_cockpit(select="young", page="run") as screen:
        await screen.press("2", "m", "i", "h", "plus", "minus", "x", "o")
        await screen.sees("after the first logged step")


async def test_checkpoints_are_listed_deleted_and_gone_on_from(two_runs, open_cockpit, monkeypatch):
    run = two_runs["first"]
    (run.checkpoints_dir / "checkpoint-90").mkdir()
    asked = []
    async with open_cockpit(select="first", page="run") as screen:
        monkeypatch.setattr(screen.cockpit, "resume", lambda *arguments: asked.append(arguments))
        await screen.press("3")
        await screen.sees("90   not sealed", "1000B", "1.375")
        await screen.press("enter")
        await screen.hears("never sealed")
        await screen.press("j", "j", "enter")
        await screen.sees("from step 60?", "The 2 later checkpoints are moved", "before-attempt-002")
        await screen.press("n")
        await screen.sees("STEP")
        assert asked == []
        await screen.press("enter", "y")
        await screen.until(lambda: asked == [("first", 60)], "the resume")
        await screen.press("d")
        await screen.sees("Delete the checkpoint of step 60?", "are deleted for")
        await screen.press("y")
        await screen.hears("step 60 is deleted")
        await screen.until(lambda: "       60 " not in screen.text, "the row to go")
    assert sorted(each.name for each in run.checkpoints_dir.iterdir()) == [
        f"checkpoint-{step}" for step in (20, 40, 80, 90)
    ]
    assert "The checkpoint of step 60 was deleted." in run.events_path.read_text()


async def test_a_live_run_keeps_the_checkpoint_that_it_needs(make_run, open_cockpit):
    run = make_run("alive", step=40)
    async with open_cockpit(select="alive", page="run") as screen:
        await screen.press("3")
        await screen.sees("STEP", "40")
        await screen.press("d", "y")
        await screen.hears("may need its checkpoint of step 40")
        await screen.press("j", "d")
        await screen.sees("step 20?")
        await screen.press("y")
        await screen.hears("step 20 is deleted")
    assert [each.name for each in run.checkpoints_dir.iterdir()] == ["checkpoint-40"]


def test_an_evaluation_of_another_step_is_named_with_its_step():
    evaluations = [(10, 2.0), (20, 1.0)]
    found = [checkpoint_page.evaluation_at(step, evaluations) for step in (5, 10, 15, 25)]
    assert found == ["-", "2.000", "2.000 at 10", "1.000 at 20"]


async def test_events_are_shown_whole_with_their_times(make_run, open_cockpit):
    run = make_run("told", State.FINISHED)
    lines = run.events_path.read_text().splitlines()
    last = json.loads(lines[-1])
    long = " ".join(f"word{number}" for number in range(60))
    with run.events_path.open("a") as events:
        for number in range(40):
            events.write(
                json.dumps({**last, "seq": 100 + number, "message": f"event {number} {long}"}) + "\n"
            )
    async with open_cockpit(select="told", page="run") as screen:
        await screen.press("4")
        await screen.sees("event 39 word0", "word59")
        await screen.press("g")
        await screen.sees("Created by a test.", "event 0 word0")
        await screen.press("space")
        await screen.until(lambda: "Created by a test." not in screen.text, "the next page")


async def test_the_configuration_shows_changes_all_and_differences(two_runs, open_cockpit):
    async with open_cockpit(select="first", page="run") as screen:
        await screen.press("5")
        await screen.sees("Configuration  first", "learning_rate", "0.02", "--set", "demo")
        assert "adam_beta1" not in screen.text
        await screen.press("o")
        await screen.until(lambda: "of 1" in screen.text, "all of it")
        await screen.press("o", "c", "space", "escape")
        await screen.sees("first | second", "learning_rate", "0.02", "0.01")
        assert "max_steps" not in screen.text
        two_runs["second"].spec_path.write_text("values: [")
        await screen.sees("is damaged")


async def test_no_page_shows_a_secret(two_runs, open_cockpit):
    run, secret = two_runs["first"], "hf_abcdefghijklmnopqrstuvwxyz0123"
    spec = resolve(None, profile="demo", overrides=[f"run.environment={{HF_TOKEN: {secret}, PLAIN: seen}}"])
    write_spec(spec, run.spec_path)
    run.attempt(1).log_path.write_text(f"login with {secret} at https://me:sesame@host/\n")
    async with open_cockpit(select="first") as screen:
        await screen.sees("login with ****")
        await screen.press("enter", "5")
        await screen.sees("Configuration  first", "learning_rate")
        await screen.press("G")
        await screen.sees("run.environment", "PLAIN", "seen")
        assert "hf_abc" not in screen.text
        await screen.press("l")
        await screen.sees("login with ****", "https://**", "@host")
        assert "hf_abc" not in screen.text and "sesame" not in screen.text
        await screen.press("escape", "6")
        await screen.sees("spec.yaml")
        await screen.press("j", "j", "j", "enter", "ampersand", *"TOKEN", "enter")
        await screen.sees("HF_TOKEN", "******")
        assert "hf_abc" not in screen.text


async def test_files_are_listed_and_opened(two_runs, open_cockpit):
    async with open_cockpit(select="first", page="run") as screen:
        await screen.press("6")
        await screen.sees("events.jsonl", "plan.json", "checkpoint-20/model.bin")
        await screen.press("j", "j", "enter")
        await screen.sees('"argv"', "plan.json")
        await screen.press("escape")
        (two_runs["first"].path / "\x1b]0;evil").touch()
        await screen.sees("events.jsonl")
        await asyncio.sleep(0)
        assert "\x1b" not in screen.text


async def test_pages_close_when_their_run_is_gone(two_runs, open_cockpit, home):
    for page in "25":
        async with open_cockpit(select="first", page="run") as screen:
            await screen.press(page)
            await screen.sees("first  - stopped")
            two_runs["first"].path.rename(home / "aside")
            await screen.sees("STATE", "second")
            (home / "aside").rename(two_runs["first"].path)


def test_a_chart_that_grows_costs_few_bytes_in_a_real_terminal(make_run, home):
    run = make_run("stepping", step=300, max_steps=1000)
    command = (*COCKPIT, "run", "stepping")
    with Terminal(home, command) as terminal:
        terminal.sees("stepping", "[1 Overview]", "300/1000")
        terminal.press("2")
        terminal.sees("[2 Charts]", "at 300")
        terminal.read(1.5)
        sent = 0
        for step in range(301, 304):
            add_steps(run, step, step, 1000)
            sent += len(terminal.read(1.2))
        terminal.sees("at 303")
        assert sent / 3 <= 1_000
        terminal.press("q")
