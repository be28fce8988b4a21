"""The run's spec.yaml: what was written is what is read, whatever the texts hold."""

import stat
import subprocess
import sys
from pathlib import Path

import pytest

from fttui_engine.errors import FttuiError
from fttui_engine.spec.load import resolve
from fttui_engine.spec.resolved import Resolved, read_spec, write_spec

DEMO = ["model_name_or_path=demo:tiny", "dataset=demo:instructions"]

TEXTS = [
    "$(touch canary)", "`touch canary`", "; touch canary #", "' || touch canary", '" && touch canary', "| & < > * ? ~",
    "null", "true", "1e-4", "2024-01-01", "- a", "# not a comment", "a: b", "[a, b", "{a", "&a", "*a", "!!str x", "%x",
    "@x", "`", "ends with space ", " begins with space", "\u00e4\u4f60\u597d\U0001f600", "\u202e\u200b", "back\\slash \\n", "'\"",
]  # fmt: skip


@pytest.mark.parametrize("text", TEXTS)
def test_texts_pass_through_unchanged(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    written = resolve(None, overrides=[*DEMO, f"default_system=x{text}", f"run.environment.A=x{text}"])
    written = written.with_value("template", text, "--set")
    assert written.ok
    write_spec(written, tmp_path / "spec.yaml")
    read = read_spec(tmp_path / "spec.yaml")
    assert read.values == written.values
    assert read.values["template"] == text
    assert read.run.environment == {"A": f"x{text}".rstrip()}
    assert [path.name for path in tmp_path.iterdir()] == ["spec.yaml"]


def full(folder: Path) -> Resolved:
    overrides = [*DEMO, "run.name=x", "run.command=[python, -c, 'print(1)']", "output_dir=o", "run.gpus=none"]
    return resolve(None, overrides=overrides, cwd=folder)


@pytest.mark.parametrize("profile", ["demo", "single-24gb-lora", "full-finetune"])
def test_spec_of_a_profile_is_read_back_in_full(profile: str, tmp_path: Path) -> None:
    written = resolve(None, profile=profile, overrides=["run.gpus=auto"], cwd=tmp_path)
    written = written.with_value("output_dir", str(tmp_path / "out"), "run folder")
    write_spec(written, tmp_path / "spec.yaml")
    read = read_spec(tmp_path / "spec.yaml")
    assert (read.values, read.origins, read.run, read.config) == (
        written.values, written.origins, written.run, written.config,
    )  # fmt: skip
    assert read.config is not None
    assert read.config.output_dir == str(tmp_path / "out")
    assert read.origins["output_dir"] == "run folder"


def test_spec_of_a_program_is_read_back(tmp_path: Path) -> None:
    written = full(tmp_path)
    write_spec(written, tmp_path / "spec.yaml")
    read = read_spec(tmp_path / "spec.yaml")
    assert read.run == written.run
    assert read.run.command == ("python", "-c", "print(1)")
    assert read.config is None


def test_spec_is_private(tmp_path: Path) -> None:
    write_spec(full(tmp_path), tmp_path / "spec.yaml")
    assert stat.S_IMODE((tmp_path / "spec.yaml").stat().st_mode) == 0o600


DAMAGED = [
    "",
    "values: [",
    "schema: 1\n",
    "values: 3\n",
    "values: {learning_rate: fast}\n",
    "- a\n",
    "values: {run: 3}\n",
]


@pytest.mark.parametrize("text", DAMAGED)
def test_damaged_spec_is_an_error_that_names_the_file(text: str, tmp_path: Path) -> None:
    (tmp_path / "spec.yaml").write_text(text)
    with pytest.raises(FttuiError) as caught:
        read_spec(tmp_path / "spec.yaml")
    assert str(tmp_path / "spec.yaml") in caught.value.message


def test_missing_spec_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FttuiError):
        read_spec(tmp_path / "spec.yaml")


def test_keys_of_a_later_release_are_left_out(tmp_path: Path) -> None:
    write_spec(resolve(None, overrides=DEMO), tmp_path / "spec.yaml")
    text = (
        (tmp_path / "spec.yaml")
        .read_text()
        .replace("values:\n", "future: {a: 1}\nvalues:\n  hyperdrive: on\n")
    )
    (tmp_path / "spec.yaml").write_text(text)
    assert read_spec(tmp_path / "spec.yaml").values["model_name_or_path"] == "demo:tiny"


def test_resolving_for_a_start_imports_nothing_heavy(tmp_path: Path) -> None:
    """The CPU time of ``fttui start`` is bounded; each of these costs as much as starting Python, or far more."""
    heavy = [
        "torch",
        "transformers",
        "textual",
        "msgspec",
        "dataclasses",
        "difflib",
        "pynvml",
        "psutil",
        "inspect",
    ]
    (tmp_path / "x.yaml").write_text(
        "model_name_or_path: demo:tiny\ndataset: demo:instructions\nbf16: true\n"
    )
    program = (
        "import sys; from pathlib import Path; from fttui_engine.spec.load import resolve;"
        "from fttui_engine.spec.resolved import write_spec; r = resolve(Path('x.yaml'), profile='demo'); assert r.ok;"
        "write_spec(r, Path('spec.yaml')); print(*[m for m in sys.argv[1:] if m in sys.modules])"
    )
    answer = subprocess.run(
        [sys.executable, "-c", program, *heavy], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert answer.stdout.split() == []
