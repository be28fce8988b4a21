"""The page about the screens says what the key table says."""

from pathlib import Path

from fttui.cli.screen_arguments import RUN_PAGES, THEME_NAMES
from fttui.keys import KEYS, names_of
from fttui.settings_file import CHOICES
from fttui.themes import STYLES
from fttui.widgets.run_table import GLYPHS

PAGE = Path(__file__).parents[2] / "docs" / "screens.md"


def test_every_key_and_every_state_is_on_the_page():
    text = PAGE.read_text()
    for key in KEYS:
        names = " ".join(f"`{name}`" for name in names_of(key))
        assert f"| {names} | {key.help} |" in text, key.id
    for state, (glyph, _) in GLYPHS.items():
        escaped = glyph.replace("|", "\\|")
        assert f"| `{escaped}` | {state} |" in text


def test_every_choice_and_every_theme_is_on_the_page():
    text = PAGE.read_text()
    for choice in CHOICES:
        assert f"| `{choice.name}` |" in text, choice.name
    for name in THEME_NAMES:
        assert f"`{name}`" in text, name
    assert set(THEME_NAMES) == set(STYLES)
    manual = (PAGE.parent / "command-line.md").read_text()
    for name in set(RUN_PAGES) - {"overview"}:
        assert f"`{name}`" in manual, name
