"""The page about the configuration says what the table of keys says."""

from pathlib import Path

from fttui_engine.spec.keys import KEYS

PAGE = Path(__file__).parents[2] / "docs" / "configuration.md"


def test_every_key_is_on_the_page_with_its_meaning() -> None:
    rows = {line.split("`")[1]: line for line in PAGE.read_text().splitlines() if line.startswith("| `")}
    assert sorted(rows) == sorted(KEYS), "one row for each key"
    for name, key in KEYS.items():
        assert f"| {key.help}" in rows[name], f"{name} means: {key.help}"
        for choice in key.choices:
            assert f"`{choice}`" in rows[name], f"{name} may be {choice}"
