"""Values that are right by themselves and wrong together, or wrong on this machine."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from fttui_engine.errors import FttuiError
from fttui_engine.runs.run import check_name
from fttui_engine.spec.load import resolve
from fttui_engine.spec.resolved import Resolved
from fttui_engine.spec.run_block import is_run_name

DEMO = {"model_name_or_path": "demo:tiny", "dataset": "demo:instructions"}


def resolve_lines(folder: Path, *lines: str) -> Resolved:
    given = {line.partition(":")[0] for line in lines}
    base = [f"{key}: {value}" for key, value in DEMO.items() if key not in given]
    (folder / "x.yaml").write_text("\n".join([*lines, *base]) + "\n")
    return resolve(Path("x.yaml"), cwd=folder)


ERRORS = [
    (["bf16: true", "fp16: true", "use_cpu: false"], "fp16", "cannot both be true"),
    (["pure_bf16: true", "fp16: true"], "fp16", "cannot both be true"),
    (["fp16: true", "use_cpu: true"], "fp16", "needs a GPU"),
    (["eval_strategy: steps"], "eval_strategy", "nothing to evaluate on"),
    (["val_size: 0.1", "eval_dataset: demo:instructions", "eval_strategy: epoch"], "val_size", "exclude"),
    (["mask_history: true", "train_on_prompt: true"], "mask_history", "exclude"),
    (["max_steps: 0"], "max_steps", "nothing would be trained"),
    (["model_name_or_path: demo:big"], "model_name_or_path", "demo:tiny"),
    (["dataset: demo:instruction"], "dataset", "demo:instructions"),
    (["run: {strategy: deepspeed}"], "run.strategy", "deepspeed: FILE.json"),
    (["run: {nodes: 2}"], "run.nodes", "later release"),
    (["run: {nodes: [a, b]}"], "run.nodes", "later release"),
    (["run: {min_nodes: 2}"], "run.min_nodes", "later release"),
    (["run: {launcher: ssh}"], "run.launcher", "later release"),
    (["run: {launcher: slurm, nodes: [a, b]}"], "run.nodes", "Slurm chooses which nodes"),
    (["run: {launcher: slurm, gpus: [0, 1]}"], "run.gpus", "Slurm chooses which GPUs"),
    (["run: {launcher: slurm, gpus: 2, slurm: {gres: 'gpu:a100:4'}}"], "run.slurm.gres", "asks for 4 GPUs"),
    (["run: {launcher: slurm, slurm: {time: '4'}}"], "run.slurm.time", "would hardly train"),
    (["run: {launcher: slurm, slurm: {time: 'x; rm'}}"], "run.slurm.time", "a time as Slurm takes it"),
    (["run: {launcher: slurm, slurm: {account: 'a b'}}"], "run.slurm.account", "a word of"),
    (["run: {launcher: slurm, slurm: {extra: ['rm -rf /']}}"], "run.slurm.extra", "a list of options of sbatch"),
    (["run: {launcher: slurm, slurm: {extra: [--array=1-4]}}"], "run.slurm.extra", "would break"),
    (["run: {launcher: slurm, slurm: {extra: ['-t 5']}}"], "run.slurm.extra", "said by run.slurm.time"),
    (["run: {restart: {on_oom: wait}}"], "run.restart.on_oom", "shrink"),
    (["run: {python: /no/such/python}"], "run.python", "not a program"),
    (["run: {python: no-such-python}"], "run.python", "not a program"),
    (["flash_attn: fa2"], "flash_attn", "flash-attn"),
    (["quantization_bit: 4", "finetuning_type: full"], "quantization_bit", "use finetuning_type: lora"),
    (["quantization_bit: 3"], "quantization_bit", "must be 4 or 8"),
    (["quantization_bit: 4.5"], "quantization_bit", "must be 4 or 8"),
    (["quantization_bit: 4", "quantization_method: hqq"], "quantization_method", "later release"),
    (["quantization_bit: 4", "quantization_type: int4"], "quantization_type", "nf4, fp4"),
    (["finetuning_type: freeze", "freeze_trainable_layers: 0"], "freeze_trainable_layers", "every weight is frozen"),
    (["stage: pt"], "dataset", "use stage: sft"),
    (["finetuning_type: freeze", "freeze_trainable_layers: two"], "freeze_trainable_layers", "whole number"),
    (["quantization_bit: 4", "finetuning_type: freeze"], "quantization_bit", "use finetuning_type: lora"),
    (["run: {hang_seconds: 0}"], "run.hang_seconds", "or off"),
    (["run: {hang_seconds: soon}"], "run.hang_seconds", "number of seconds"),
    (["run: {hang_seconds: nan}"], "run.hang_seconds", "number of seconds"),
    (["run: {divergence: ignore}"], "run.divergence", "warn"),
    (["run: []"], "run", "block"),
    (["run: {restart: 3}"], "run.restart", "block"),
]  # fmt: skip


@pytest.mark.parametrize(("lines", "key", "words"), ERRORS)
def test_error(lines: list[str], key: str, words: str, tmp_path: Path) -> None:
    resolved = resolve_lines(tmp_path, *lines)
    errors = [finding for finding in resolved.findings.errors if finding.key == key]
    assert any(words in finding.message for finding in errors)
    assert all(finding.line is not None for finding in errors)
    assert not resolved.ok


WARNINGS = [
    (["run: {strategy: ddp}"], "run.strategy", "no effect with one process"),
    (["fsdp: true"], "fsdp", "no effect with one process"),
    (["learning_rate: 0.5"], "learning_rate", "exponent"),
    (["learning_rate: 1e-9"], "learning_rate", "exponent"),
    (["learning_rate: 5e-3", "finetuning_type: full"], "learning_rate", "exponent"),
    (["learning_rate: 5e-3"], "learning_rate", "no warm-up"),
    (["learning_rate: 2e-4", "finetuning_type: full"], "learning_rate", "warmup_ratio: 0.03"),
    (["max_steps: 10", "save_steps: 20"], "save_steps", "larger than the run"),
    (["save_strategy: no"], "save_strategy", "crash"),
    (["val_size: 0.1"], "val_size", "never evaluated"),
    (["lora_rank: 4", "finetuning_type: full"], "lora_rank", "no effect"),
    (["trust_remote_code: true"], "trust_remote_code", "code"),
    (["tf32: true", "use_cpu: true"], "tf32", "no effect"),
    (["lora_rank: 4", "finetuning_type: freeze"], "lora_rank", "no effect with finetuning_type: freeze"),
    (["freeze_trainable_layers: 3"], "freeze_trainable_layers", "no effect with finetuning_type: lora"),
    (["quantization_type: fp4"], "quantization_type", "no effect without quantization_bit"),
    (["quantization_bit: 8", "double_quantization: true"], "double_quantization", "no effect"),
    (["quantization_bit: 4", "pure_bf16: true"], "pure_bf16", "stays in float32"),
]


@pytest.mark.parametrize(("lines", "key", "words"), WARNINGS)
def test_warning(lines: list[str], key: str, words: str, tmp_path: Path) -> None:
    resolved = resolve_lines(tmp_path, *lines)
    assert resolved.ok
    (warning,) = resolved.findings.warnings
    assert (warning.key, words in warning.message) == (key, True)


@pytest.mark.parametrize("lines", [["bf16: true", "use_cpu: true"], ["eval_strategy: steps", "val_size: 0.1"],
                                   ["run: {gpus: none}"], ["learning_rate: 5e-3", "warmup_ratio: 0.1"], ["learning_rate: 5e-3", "optim: sgd"],
                                   ["learning_rate: 2e-4"], ["run: {hang_seconds: off, divergence: warn}"], ["run: {hang_seconds: 90}"],
                                   ["quantization_bit: 4", "double_quantization: false"], ["quantization_bit: 8"],
                                   ["finetuning_type: freeze", "freeze_trainable_layers: -1"],
                                   ["finetuning_type: freeze", "freeze_trainable_layers: 0", "freeze_extra_modules: norm"]])  # fmt: skip
def test_nothing_to_say(lines: list[str], tmp_path: Path) -> None:
    findings = resolve_lines(tmp_path, *lines).findings
    assert (findings.errors, findings.warnings) == ([], [])


NAMES = [
    ("demo", True), ("a", True), ("A.b_c-1", True), ("0", True), ("x" * 64, True), ("CON", True),
    ("x" * 65, False), ("", False), ("../../x", False), ("/etc/passwd", False), ("-rf", False), (".hidden", False),
    ("..", False), ("a/b", False), ("a b", False), ("a\nb", False), ("a\0b", False), ("$(touch x)", False),
    ("d\u0435mo", False), ("\uff44emo", False), ("demo\u202e", False), ("x" * 300, False), ("a;b", False), ("~", False),
]  # fmt: skip


@pytest.mark.parametrize(("name", "is_good"), NAMES)
def test_names_of_runs(name: str, is_good: bool, tmp_path: Path) -> None:
    assert is_run_name(name) is is_good
    try:
        check_name(name)
        may_be_folder = True
    except FttuiError:
        may_be_folder = False
    assert may_be_folder is is_good, "the run directory and the configuration disagree"
    (tmp_path / "x.yaml").write_text(json.dumps({**DEMO, "run": {"name": name}}))
    errors = resolve(tmp_path / "x.yaml").findings.errors
    assert [error.key for error in errors] == ([] if is_good else ["run.name"])


def test_a_name_of_the_wrong_type(tmp_path: Path) -> None:
    (error,) = resolve_lines(tmp_path, "run: {name: [a]}").findings.errors
    assert error.key == "run.name"


MODELS = [
    ("no/such/folder", "no model at"),
    ("./missing", "no model at"),
    ("/no/such/model", "no model at"),
    ("~nobody-here/model", "no model at"),
    ("modls/llama", "no model at"),
    ("models/lama", "Did you mean"),
    ("models/empty", "no config.json"),
    ("models/adapter", "holds an adapter"),
    ("models/mute", "holds no weights"),
    ("models/cut-short", "holds no tokenizer"),
    ("models/two-ggufs", "several GGUF files"),
    ("weights.bin", "not a GGUF file"),
    ("a b", "no model at"),
    ("./" + "x" * 300, "no model at"),
    ("/" + "y/" * 3000, "no model at"),
    ("$(touch canary)", "no model at"),
]


COMPLETE = ["config.json", "model.safetensors", "tokenizer.json"]


@pytest.fixture
def models(tmp_path: Path) -> Path:
    folder = tmp_path / "models"
    for name, files in {
        "llama": COMPLETE, "empty": [], "adapter": ["adapter_config.json"], "gguf": ["m.gguf"],
        "two-ggufs": ["a.gguf", "b.gguf"], "cut-short": COMPLETE[:2], "mute": COMPLETE[:1] + COMPLETE[2:],
    }.items():  # fmt: skip
        (folder / name).mkdir(parents=True)
        for file in files:
            (folder / name / file).write_text('{"model_type": "llama"}')
    (tmp_path / "weights.bin").write_text("x")
    (tmp_path / "m.gguf").write_text("x")
    return tmp_path


@pytest.mark.parametrize(("model", "words"), MODELS)
def test_model_that_is_not_there(model: str, words: str, models: Path) -> None:
    if model == "modls/llama":
        (models / "modls").mkdir()
    (error,) = resolve_lines(models, f"model_name_or_path: {json.dumps(model)}").findings.errors
    assert error.key == "model_name_or_path"
    assert words in error.message
    assert not (models / "canary").exists()


@pytest.mark.parametrize("model", ["models/llama", "models/gguf", "m.gguf", "./models/llama/"])
def test_model_that_is_there(model: str, models: Path) -> None:
    resolved = resolve_lines(models, f"model_name_or_path: {model}")
    assert resolved.findings.errors == []
    assert resolved.values["model_name_or_path"].startswith(str(models))


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ("m.gguf", "is a GGUF model"),
        ("models/gguf", "is a GGUF model"),
        ("models/awq", "quantized already (awq)"),
    ],
)
def test_what_is_packed_already_is_not_quantized_again(model: str, words: str, models: Path) -> None:
    (models / "models" / "awq").mkdir()
    for name in COMPLETE:
        content = '{"model_type": "llama", "quantization_config": {"quant_method": "awq"}}'
        (models / "models" / "awq" / name).write_text(content)
    (error,) = resolve_lines(models, f"model_name_or_path: {model}", "quantization_bit: 4").findings.errors
    assert error.key == "quantization_bit"
    assert words in error.message


@pytest.mark.parametrize("config", ["{}", "[]", "not json", '{"quantization_config": 4}'])
def test_a_model_that_can_be_quantized_or_cannot_be_told(config: str, models: Path) -> None:
    (models / "models" / "llama" / "config.json").write_text(config)
    errors = resolve_lines(models, "model_name_or_path: models/llama", "quantization_bit: 4").findings.errors
    assert all(error.key == "model_name_or_path" for error in errors)


@pytest.mark.parametrize(
    ("config", "words"),
    [("{}", "no model_type"), ("[]", "no model_type"), ('{"model_type', "cannot be read")],
)
def test_a_config_that_is_none_is_found_before_the_start(config: str, words: str, models: Path) -> None:
    (models / "models" / "llama" / "config.json").write_text(config)
    (error,) = resolve_lines(models, "model_name_or_path: models/llama").findings.errors
    assert words in error.message


def test_a_hub_name_is_looked_up_in_the_local_cache_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    (warning,) = resolve_lines(tmp_path, "model_name_or_path: org/name").findings.warnings
    assert "cannot be looked up offline" in warning.message
    (tmp_path / "hub" / "models--org--name" / "snapshots").mkdir(parents=True)
    assert resolve_lines(tmp_path, "model_name_or_path: org/name").findings.warnings == []


DATA = [
    ("missing.json", None, "no file"),
    ("train.jsonl", ("trian.jsonl", "{}"), "Did you mean"),
    ("empty.json", ("empty.json", ""), "empty"),
    ("blank.jsonl", ("blank.jsonl", "\n \n"), "empty"),
    ("broken.json", ("broken.json", '[\n{"a": 1},\n{"b": }\n]'), "broken.json:3"),
    ("object.json", ("object.json", '{\n"a": 1}'), "list of objects"),
    ("none.json", ("none.json", "[]"), "no list of objects"),
    ("numbers.json", ("numbers.json", "[1, 2]"), "no list of objects"),
    ("broken.jsonl", ("broken.jsonl", '{"a": 1}\n{"b": \n'), "broken.jsonl:2"),
    ("list.jsonl", ("list.jsonl", '[{"a": 1}]'), "name the file .json"),
    ("numbers.jsonl", ("numbers.jsonl", "1\n2\n"), "JSON object"),
    ("deep.json", ("deep.json", "[" * 60_000), "nested too deep"),
    ("latin.jsonl", ("latin.jsonl", b'{"a": "\xe4"}\n'), "UTF-8"),
    ("head.csv", ("head.csv", "instruction,output\n"), "no rows"),
    ("fake.parquet", ("fake.parquet", "hello"), "not a Parquet file"),
    ("text.json", ("text.json", '[{"text": "a"}]'), "no known form; its columns are text: alpaca has"),
    ("text.jsonl", ("text.jsonl", '{"text": "a"}\n'), "no known form; its columns are text"),
    ("half.jsonl", ("half.jsonl", '{"prompt": "a", "chosen": "b"}\n'), "its columns are chosen, prompt"),
    ("semicolons.csv", ("semicolons.csv", "instruction;output\na;b\n"), "parted by commas"),
    ("large.json", ("large.json", "[" + '{"a": 1},' * 9000 + '{"a": 1}]'), "its columns are a"),
    ("notes.xlsx", ("notes.xlsx", "hello"), "not in a format"),
    ("notes.txt", ("notes.txt", "hello"), "no known form; its columns are text"),
    ("fake.arrow", ("fake.arrow", "hello"), "not an Arrow file"),
    ("folder.json", "folder.json", "holds no data file"),
    ("identity", None, "dataset_info.json"),
    ("; touch canary", None, "is no file"),
    ("x" * 300 + ".json", None, "no file"),
]


@pytest.mark.parametrize(("entry", "content", "words"), DATA, ids=[case[0] for case in DATA])
def test_data_that_cannot_be_used(entry: str, content: object, words: str, tmp_path: Path) -> None:
    if isinstance(content, tuple):
        name, text = content
        (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    elif isinstance(content, str):
        (tmp_path / content).mkdir()
    (error,) = resolve_lines(tmp_path, f"dataset: {json.dumps(entry)}").findings.errors
    assert error.key == "dataset"
    assert words in error.message
    assert not (tmp_path / "canary").exists()


GOOD_DATA = {
    "a.json": b'[{"instruction": "a", "output": "b"}]',
    "a.jsonl": b'{"instruction": "a", "output": "b"}\n\n{"instruction": "a", "output": "b"}',
    "a.csv": b"instruction,output\na,b\n",
    "a.parquet": b"PAR1....PAR1",
    "bom.json": b'\xef\xbb\xbf[{"messages": []}]',
    "lines.json": b'{"conversations": []}\n{"conversations": []}\n',
    "separator.jsonl": '{"prompt": "a\u2028b\x85c", "completion": "b"}\n'.encode(),
    "quoted.csv": b'"instruction","the, input","output"\na,b,c\n',
    "large.json": b"[" + b'{"messages": "\xc3\xa4\xc3\xa4\xc3\xa4"},\n' * 9000 + b'{"a": 1}]',
    "large.jsonl": b'{"messages": "\xc3\xa4\xc3\xa4\xc3\xa4"}\n' * 9000,
    "long line.jsonl": b'{"a": "' + b"\xc3\xa4" * 60_000 + b'"}\n',
}


@pytest.mark.parametrize("name", GOOD_DATA)
def test_data_that_can_be_used(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(GOOD_DATA[name])
    resolved = resolve_lines(tmp_path, f"dataset: {json.dumps([name])}")
    assert resolved.findings.errors == []
    assert resolved.values["dataset"] == [str(tmp_path / name)]


INFO = [
    ({"other": {"file_name": "a.json"}}, "identity", "neither a file nor a name"),
    ({"identiti": {"file_name": "a.json"}}, "identity", "Did you mean identiti?"),
    ({"identity": {"script_url": "x.py"}}, "identity", "run the script yourself"),
    ({"identity": {"cloud_file_name": "s3://b/a.json"}}, "identity", "is in a cloud store"),
    ({"identity": {"split": "train"}}, "identity", "neither file_name nor hf_hub_url"),
    (
        {"identity": {"file_name": "a.json", "columns": {"images": "i"}}},
        "identity",
        "only texts are trained on",
    ),
    ({"identity": {"file_name": "a.json", "tags": {"role": "who"}}}, "identity", "unknown names: role"),
    ({"identity": {"file_name": "a.json", "num_samples": "all"}}, "identity", "whole number"),
    ({"identity": {"file_name": "b.json"}}, "identity", "no file"),
    ({"identity": {"file_name": "a.json"}}, "identity", "a.json has no known form; its columns are a"),
    ({"identity": {"file_name": "a.json", "ranking": True}}, "identity", "preference pairs"),
    ({"identity": "a.json"}, "identity", "is no description"),
    ([], "identity", "not a JSON object"),
]


@pytest.mark.parametrize(("info", "entry", "words"), INFO)
def test_names_of_dataset_info(info: object, entry: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a.json").write_text('[{"a": 1}]')
    (tmp_path / "data" / "dataset_info.json").write_text(json.dumps(info))
    (error,) = resolve_lines(tmp_path, f"dataset: {entry}").findings.errors
    assert words in error.message


def test_a_name_that_is_no_file_is_not_said_to_be_absent(tmp_path: Path) -> None:
    # Opening the pipe would wait for somebody who writes.
    os.mkfifo(tmp_path / "pipe.jsonl")
    (tmp_path / "link.jsonl").symlink_to("nowhere")
    found = resolve_lines(tmp_path, "dataset: [pipe.jsonl, link.jsonl]").findings.errors
    assert [Path(error.found).name for error in found] == ["pipe.jsonl", "link.jsonl"]
    assert all("a link that leads nowhere" in error.message and not error.suggestion for error in found)


def test_a_folder_of_data_is_looked_at_file_by_file(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "a.json").write_text('[{"instruction": "a", "output": "b"}]')
    (tmp_path / "mine" / "README.txt").write_text("no data")
    assert resolve_lines(tmp_path, "dataset: mine/").findings.errors == []
    (tmp_path / "mine" / "b.jsonl").write_text("{broken\n")
    (error,) = resolve_lines(tmp_path, "dataset: mine/").findings.errors
    assert "b.jsonl:1" in error.message


@pytest.mark.parametrize(
    ("dataset_dir", "name"), [("ONLINE", "somebody/talks"), ("REMOTE:somebody/tables", "talks")]
)
def test_names_on_the_hub_are_left_to_the_worker(dataset_dir: str, name: str, tmp_path: Path) -> None:
    resolved = resolve_lines(tmp_path, f"dataset_dir: {dataset_dir}", f"dataset: {name}")
    assert resolved.findings.errors == []
    assert resolved.values["dataset"] == [name]
    assert resolved.values["dataset_dir"] == dataset_dir
    assert any("fetched from the hub" in warning.message for warning in resolved.findings.warnings)


MIXING = [
    (["mix_strategy: interleave_under", "interleave_probs: 0.5, 0.6"], "0.454545455, 0.545454545"),
    (["mix_strategy: interleave_under", "interleave_probs: [1]"], "1 numbers for 2 datasets"),
    (["mix_strategy: interleave_over", "interleave_probs: [1, 0]"], "above 0"),
    (["mix_strategy: interleave_over", "interleave_probs: half, half"], "takes numbers"),
    (["streaming: true"], "max_steps is not set"),
    (
        ["streaming: true", "max_steps: 5", "val_size: 0.1", "eval_strategy: steps"],
        "must be a number of examples",
    ),
    (["tokenized_path: ."], "holds no data that fttui has prepared"),
]


@pytest.mark.parametrize(("lines", "words"), MIXING, ids=[" ".join(case[0]) for case in MIXING])
def test_mixing_and_streaming_that_cannot_work(lines: list[str], words: str, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('[{"instruction": "a", "output": "b"}]')
    (error,) = resolve_lines(tmp_path, "dataset: [a.json, a.json]", *lines).findings.errors
    assert words in error.message


def test_mixing_keys_without_effect_are_named(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('[{"instruction": "a", "output": "b"}]')
    lines = ["dataset: a.json", "interleave_probs: 1", "eval_on_each_dataset: true", "buffer_size: 100"]
    resolved = resolve_lines(tmp_path, *lines)
    named = {warning.key for warning in resolved.findings.warnings}
    assert {"interleave_probs", "eval_on_each_dataset", "buffer_size"} <= named


def test_output_folder_that_is_a_file_or_below_one(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    for output in ("file", "file/below", "dangling", "/dev/null/x", "x" * 300):
        (error,) = resolve_lines(tmp_path, f"output_dir: {output}").findings.errors
        assert error.key == "output_dir", output


@pytest.mark.skipif(os.geteuid() != 0, reason="drops to an ordinary user, so it has to begin as root")
def test_output_folder_of_somebody_else() -> None:
    # Not tmp_path, whose parents are closed to everybody else.
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "closed").mkdir(mode=0o755)
        assert resolve_lines(folder, "output_dir: closed/out").ok
        os.setresuid(65534, 65534, 0)
        try:
            (error,) = resolve(Path("x.yaml"), cwd=folder).findings.errors
        finally:
            os.setresuid(0, 0, 0)
    assert error.key == "output_dir"
    assert "cannot be written to" in error.message


def test_checkpoints_of_another_run_are_not_mixed_with_new_ones(tmp_path: Path) -> None:
    (tmp_path / "out" / "checkpoint-20").mkdir(parents=True)
    (error,) = resolve_lines(tmp_path, "output_dir: out").findings.errors
    assert "checkpoints of an earlier run" in error.message
    assert resolve_lines(tmp_path, "output_dir: out", "overwrite_output_dir: true").ok


def test_a_python_without_torch_gets_the_install_line(tmp_path: Path) -> None:
    lines = [f"{key}: {value}\n" for key, value in DEMO.items()]
    (tmp_path / "x.yaml").write_text("".join([*lines, "quantization_bit: 4\n"]))
    program = (
        "import sys; sys.path[:] = [p for p in sys.path if 'site-packages' not in p] + [sys.argv[1]];"
        "from pathlib import Path; from fttui_engine.spec.load import resolve;"
        "print(*[e.message for e in resolve(Path('x.yaml')).findings.errors])"
    )
    import yaml

    import fttui_engine

    # A folder with PyYAML and nothing else stands for an environment that training was not installed into.
    (tmp_path / "light").mkdir()
    (tmp_path / "light" / "yaml").symlink_to(Path(yaml.__file__).parent)
    (tmp_path / "light" / "fttui_engine").symlink_to(Path(fttui_engine.__file__).parent)
    answer = subprocess.run(
        [sys.executable, "-I", "-c", program, str(tmp_path / "light")],
        cwd=tmp_path, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert 'pip install "fttui[train]"' in answer.stdout
    assert "needs bitsandbytes, which is not installed: pip install bitsandbytes" in answer.stdout


@pytest.mark.parametrize(
    ("stage", "row", "words"),
    [
        ("pt", {"text": "a"}, None),
        ("pt", {"prompt": "a", "response": "b"}, None),
        ("pt", {"instruction": "a", "output": "b"}, "has no texts; its columns are instruction, output"),
        ("sft", {"text": "a"}, "has no known form; its columns are text"),
    ],
)
def test_each_stage_wants_its_columns(
    stage: str, row: dict[str, str], words: str | None, tmp_path: Path
) -> None:
    (tmp_path / "a.jsonl").write_text(json.dumps(row) + "\n")
    errors = resolve_lines(tmp_path, f"stage: {stage}", "dataset: a.jsonl").findings.errors
    assert [error.key for error in errors] == ([] if words is None else ["dataset"])
    assert all(words in error.message for error in errors if words)


def test_keys_of_conversations_rest_where_there_are_none(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "a"}\n')
    lines = ["stage: pretrain", "dataset: a.jsonl", "packing: false", "mask_history: true"]
    resolved = resolve_lines(tmp_path, *lines)
    assert resolved.ok
    (warning,) = resolved.findings.warnings
    assert (warning.key, "whole texts" in warning.message) == ("mask_history", True)
    assert resolved.config is not None
    assert (resolved.config.stage, resolved.config.packing) == ("pt", False)
