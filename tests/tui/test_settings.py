"""The user's configuration file, and what it does to keys, colours and characters."""

import pytest

from fttui.keys import KEYS
from fttui.keys.keymap import Keymap
from fttui.lines import Span
from fttui.settings import Settings, config_path
from fttui.settings_file import CHOICES, read_settings, write_theme
from fttui.themes import MARKED, STYLES, TEXTUAL_THEMES, fitting_theme, style_of
from fttui_engine.runs.states import State


@pytest.fixture
def config(home):
    path = config_path()
    path.parent.mkdir(parents=True)
    return path


def test_without_a_file_or_with_an_empty_one_everything_is_as_it_was(config):
    assert read_settings() == Settings()
    config.write_text("")
    assert read_settings() == Settings()


def test_every_choice_is_read(config):
    config.write_text(
        "theme: light\nascii: yes\nrefresh_seconds: 5\nmouse: true\nread_only: true\nrestore_session: false\n"
        'keymap:\n  stop: S\n  log-find: "ctrl+f, f3"\n'
    )
    read = read_settings()
    assert read == Settings("light", True, 5, True, True, False, {"stop": "S", "log-find": "ctrl+f, f3"})
    assert {choice.name for choice in CHOICES} == set(Settings._fields) - {"problems"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("# mine\nthem: dark\n", ("config.yaml:2: them", "did you mean theme?")),
        ("theme: drak\n", ("config.yaml:1: theme: 'drak'", "one of dark, light", "did you mean dark?")),
        ("refresh_seconds: 0\n", ("config.yaml:1: refresh_seconds", "at least 0.2")),
        ("read_only: perhaps\n", ("config.yaml:1: read_only", "true or false")),
        ("keymap: s\n", ("config.yaml:1: keymap", "lines of `action: keys`")),
        ("theme: [dark\n", ("config.yaml:",)),
        ("- a\n", ("config.yaml:1:", "not a list")),
    ],
)
def test_a_mistake_is_named_by_file_line_and_key_and_the_rest_still_counts(config, text, said):
    config.write_text(text)
    (problem,) = read_settings().problems
    for part in said:
        assert part in problem
    if text[0] != "-" and "[" not in text:
        config.write_text(f"{text}mouse: true\n")
        assert read_settings().mouse


def test_a_mistake_in_the_file_is_told_and_stops_nothing(config):
    config.write_bytes(b"\xff\xfe\x00")
    (problem,) = read_settings().problems
    assert "not UTF-8" in problem
    config.unlink()
    config.mkdir()
    (problem,) = read_settings().problems
    assert "This is a folder" in problem


def test_a_theme_chosen_in_the_palette_changes_one_line(config):
    config.write_text("# mine\nmouse: true\ntheme: dark  # at night\n\nkeymap:\n  stop: S\n")
    write_theme("light")
    assert config.read_text() == "# mine\nmouse: true\ntheme: light # at night\n\nkeymap:\n  stop: S\n"
    config.unlink()
    write_theme("terminal")
    assert read_settings().theme == "terminal"


def test_a_keymap_with_mistakes_keeps_what_works_and_names_the_rest():
    keymap = Keymap(
        {"stop": "ctrl+s", "kil": "X", "kill": "r", "delete": "hyper+d", "log-next": "?", "new": ""}
    )
    shown = {key.id: key.keys for key in keymap.keys_of("dashboard")}
    assert shown["stop"] == "ctrl+s"
    assert shown["kill"] == "K", "r is resume's"
    assert keymap.for_textual == {"stop": "ctrl+s"}
    problems = "\n".join(keymap.problems)
    for part in (
        "'kil'; did you mean kill?",
        "kill: r is the key of resume",
        "'hyper+d' is no key",
        "log-next: ?",
    ):
        assert part in problems
    swapped = Keymap({"stop": "r", "resume": "s"})
    assert not swapped.problems
    assert {key.id: key.keys for key in swapped.keys_of("run")}["resume"] == "s"


async def test_own_keys_work_and_stand_in_footer_and_help(make_run, open_cockpit):
    make_run("busy", step=5)
    settings = Settings(theme="dark", ascii=False, keymap={"stop": "f9", "resume": "s"})
    async with open_cockpit((120, 40), settings=settings) as screen:
        await screen.sees("busy", "f9 stop", "s resume")
        await screen.press("s")
        await screen.hears("A run can be resumed after it has ended")
        await screen.press("f9")
        await screen.sees("Stop busy?")
        await screen.press("n", "question_mark")
        await screen.sees(" f9              save a checkpoint, then stop")


async def test_read_only_refuses_what_changes_anything_and_says_so(make_run, open_cockpit):
    make_run("busy", step=5)
    make_run("over", State.FINISHED)
    async with open_cockpit(settings=Settings(read_only=True), select="busy") as screen:
        await screen.sees("read-only", "busy")
        for key in ("s", "K", "n", "r", "d"):
            screen.cockpit.clear_notifications()
            await screen.press(key)
            await screen.hears("Read-only")
            assert len(screen.cockpit.screen_stack) == 1
        await screen.press("enter", "3", "enter")
        await screen.hears("Read-only")
    assert all(key.changes for key in KEYS if key.id in ("stop", "kill", "resume", "delete", "new"))


async def test_the_palette_finds_actions_runs_and_themes(config, make_run, open_cockpit):
    make_run("alpha", State.FINISHED, step=3)
    make_run("zebra", State.FINISHED, step=30)
    async with open_cockpit(select="alpha") as screen:
        await screen.press("colon", *"run zeb")
        await screen.sees("run zebra")
        await screen.press("enter")
        await screen.sees("zebra  v finished")
        await screen.press("colon", *"checkp", "enter")
        await screen.sees("[3 Checkpoints]")
        await screen.press("ctrl+p", *"theme light", "enter")
        await screen.hears("The theme is light")
        assert screen.cockpit.theme == "light"
        assert read_settings().theme == "light"
        await screen.press("colon", *"qqqq")
        await screen.sees("Nothing has these letters.")
        await screen.press("enter")
        await screen.sees("[3 Checkpoints]")


def test_every_theme_knows_every_role_and_no_two_states_differ_by_colour_alone():
    names = {theme.name for theme in TEXTUAL_THEMES}
    assert names == set(STYLES) == set(MARKED)
    roles = set(STYLES["dark"])
    for name in names:
        assert set(STYLES[name]) == roles
        assert style_of(Span("x"), name) != style_of(Span("x", marked=True), name)


@pytest.mark.parametrize("name", ["dark", "light", "high-contrast", "colour-blind"])
def test_text_stands_out_from_the_ground_of_its_theme(name):
    """By WCAG's measure: 4.5 for text, 7 in the high contrast theme; a rule is no text."""
    theme = next(each for each in TEXTUAL_THEMES if each.name == name)
    ground = theme.background or "#121212"
    for role, style in STYLES[name].items():
        if style.color and style.color.triplet and not style.bgcolor and role != "rule":
            wanted = 7.0 if name == "high-contrast" else 4.5
            assert contrast(style.color.triplet.hex, ground) >= wanted, role


def contrast(first, second):
    lighter, darker = sorted((luminance(first), luminance(second)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def luminance(colour):
    channels = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [each / 12.92 if each <= 0.04045 else ((each + 0.055) / 1.055) ** 2.4 for each in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_few_colours_or_none_get_the_theme_that_needs_none():
    assert fitting_theme(None, "256", no_color=False) == "dark"
    assert fitting_theme(None, "standard", no_color=False) == "terminal"
    assert fitting_theme("light", "standard", no_color=False) == "terminal"
    assert fitting_theme("light", "256", no_color=False) == "light"
    assert fitting_theme("light", "truecolor", no_color=True) == "terminal"
