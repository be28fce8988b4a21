"""The page about the screens says what the key table says."""

from pathlib import Path

from fttui.keys import KEYS, names_of
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
