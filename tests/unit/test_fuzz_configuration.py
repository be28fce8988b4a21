"""Any configuration file is resolved, with findings about what is wrong with it, and nothing else comes of it."""

import json
import tempfile
from pathlib import Path

import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from fttui_engine.errors import FttuiError
from fttui_engine.spec.dataset_info import entry_fault
from fttui_engine.spec.keys import KEYS
from fttui_engine.spec.load import resolve
from fttui_engine.spec.resolved import read_spec
from fuzzing import ANYTHING, FUZZ, SCALARS, spoiled

DEMO = {"model_name_or_path": "demo:tiny", "dataset": "demo:instructions", "use_cpu": True}
ODD_TEXTS = ["", "\t", "a: b: c", "? x", "&a [*a, *a]", "!!python/object:os.system {}", "{" * 500, "- " * 500, "a: 1\na: 2",
             "%YAML 9.9\n---\n", "<<: 1", "run: {run: {run: 1}}", "\ufeffa: 1", "a: |\n  x\n b", "1: 2", "~: 1", "[1]: 2"]  # fmt: skip


def look(text: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "x.yaml")
        path.write_bytes(text.encode("utf-8", "surrogatepass"))
        try:
            found = resolve(path, cwd=Path(folder))
        except FttuiError as error:
            assert error.message
            return
        for finding in (*found.findings.errors, *found.findings.warnings):
            assert finding.message
        if found.ok:
            assert found.values["model_name_or_path"]


@FUZZ
@given(st.dictionaries(st.sampled_from(sorted(KEYS)), SCALARS | ANYTHING, min_size=1, max_size=5))
def test_any_value_of_any_key(values: dict[str, object]) -> None:
    plain = {key: value for key, value in values.items() if "." not in key}
    inside = {key.removeprefix("run."): value for key, value in values.items() if key.startswith("run.")}
    look(json.dumps({**DEMO, **plain, **({"run": inside} if inside else {})}))


@FUZZ
@given(
    st.text(max_size=80) | st.sampled_from(ODD_TEXTS) | ANYTHING.map(lambda value: yaml.safe_dump(str(value)))
)
def test_any_text(text: str) -> None:
    look(text)
    look("\n".join(f"{key}: {value}" for key, value in DEMO.items()) + "\n" + text)


@FUZZ
@given(spoiled({"schema": 1, "values": {**DEMO, "run": {"gpus": 1}}, "origins": {"dataset": "file x:1"}}))
def test_the_specification_of_a_run(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "spec.yaml")
        path.write_bytes(content)
        try:
            read_spec(path)
        except FttuiError as error:
            assert error.message


@FUZZ
@given(
    spoiled(
        {
            "file_name": "a.json",
            "formatting": "sharegpt",
            "columns": {"messages": "x"},
            "tags": {"role_tag": "r"},
        }
    )
)
def test_an_entry_of_dataset_info(content: bytes) -> None:
    try:
        entry = json.loads(content)
    except ValueError:
        return
    if isinstance(entry, dict):
        entry_fault(entry)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "dataset_info.json").write_bytes(b'{"mine": ' + content.strip() + b"}")
        (folder / "x.yaml").write_text(f"model_name_or_path: demo:tiny\ndataset: mine\ndataset_dir: {name}\n")
        try:
            resolve(Path("x.yaml"), cwd=folder)
        except FttuiError as error:
            assert error.message


@example("json", b"\xef").via("once an IndexError in fttui check")
@FUZZ
@given(
    st.sampled_from(["json", "jsonl", "csv", "txt"]),
    st.binary(max_size=200) | ANYTHING.map(lambda v: json.dumps(v).encode()),
)
def test_the_head_of_a_data_file(suffix: str, content: bytes) -> None:
    with tempfile.TemporaryDirectory() as name:
        Path(name, f"d.{suffix}").write_bytes(content)
        Path(name, "x.yaml").write_text(f"model_name_or_path: demo:tiny\ndataset: {name}/d.{suffix}\n")
        try:
            resolve(Path("x.yaml"), cwd=Path(name))
        except FttuiError as error:
            assert error.message
