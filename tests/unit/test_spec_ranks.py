"""Several processes: which combinations can work, and how another number of them goes on with a run."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fttui_engine.errors import WrongRequestError
from fttui_engine.launch.export_command import torchrun_lines
from fttui_engine.launch.rescale import rescale
from fttui_engine.runs.run import Plan, Run
from fttui_engine.spec.load import resolve
from fttui_engine.spec.resolved import Resolved, read_spec, write_spec
from fttui_engine.train.ranks.strategy import by_room

SOURCE = Path(__file__).parents[1] / "fake_nvml" / "fake_nvml.c"
COMPILER = shutil.which("cc") or shutil.which("gcc")
FSDP = ["use_cpu=true", "run.processes=2", "run.strategy=fsdp"]


def resolved(*overrides: str) -> Resolved:
    base = ["model_name_or_path=demo:tiny", "dataset=demo:instructions"]
    return resolve(None, overrides=[*base, *overrides])


@pytest.mark.parametrize(
    ("overrides", "key", "words"),
    [
        (["use_cpu=true", "run.gpus=2"], "run.gpus", "run.processes"),
        (["run.gpus=2", "run.processes=3"], "run.processes", "one process per GPU"),
        ([*FSDP, "quantization_bit=8"], "quantization_bit", "8 bits"),
        ([*FSDP, "optim=adamw_8bit"], "optim", "adamw_torch can be divided"),
        ([*FSDP, "optim=adafactor"], "optim", "adamw_torch can be divided"),
        ([*FSDP, "do_predict=true", "val_size=0.1"], "do_predict", "fttui predict"),
        ([*FSDP, "load_best_model_at_end=true"], "load_best_model_at_end", "checkpoint"),
        ([*FSDP, "stage=ppo"], "run.strategy", "ddp works"),
        (
            [*FSDP, "stage=dpo", "ref_model=demo:tiny", "ref_model_quantization_bit=8"],
            "ref_model_quantization_bit",
            "8 bits",
        ),
        (["use_cpu=true", "run.processes=2", "run.strategy=ddp", "fsdp=true"], "fsdp", "exclude"),
        (["use_cpu=true", "run.processes=2", "fsdp=full_shard offload"], "fsdp", "full_shard"),
    ],
)
def test_what_cannot_work_is_refused_before_start(overrides: list[str], key: str, words: str) -> None:
    errors = {finding.key: finding.message for finding in resolved(*overrides).findings.errors}
    assert words in errors[key]


@pytest.mark.parametrize(
    ("overrides", "strategy", "fsdp"),
    [
        (FSDP, "fsdp", "no"),
        ([*FSDP[:2], "fsdp=full_shard auto_wrap"], "auto", "full_shard"),
        ([*FSDP[:2], "fsdp=shard_grad_op"], "auto", "shard_grad_op"),
        (FSDP[:2], "auto", "no"),
        ([*FSDP, "quantization_bit=4"], "fsdp", "no"),
    ],
)
def test_what_can_work_is_taken(overrides: list[str], strategy: str, fsdp: str) -> None:
    found = resolved(*overrides)
    assert found.findings.errors == []
    assert found.config is not None
    assert (found.run.strategy, found.config.fsdp, found.run.process_count) == (strategy, fsdp, 2)


@pytest.mark.parametrize("stage", ["rm", "dpo", "kto"])
def test_a_model_with_a_head_or_a_reference_can_be_divided(stage: str) -> None:
    found = resolved(*FSDP, f"stage={stage}", "finetuning_type=full")
    # The demonstration data is of another stage.
    assert {finding.key for finding in found.findings.errors} == {"dataset"}


def test_the_model_is_divided_where_no_gpu_has_room_for_it() -> None:
    card = 24 * 2**30
    config = resolved(*FSDP[:2]).config
    assert config is not None
    assert by_room(config, 20 * 2**30, card).name == "ddp"
    assert "20.0 of 24.0 GiB" in by_room(config, 20 * 2**30, card).reason
    assert by_room(config, 40 * 2**30, card).name == "fsdp"
    assert by_room(config, None, card).name == "ddp"
    packed = resolved(*FSDP[:2], "quantization_bit=8").config
    assert packed is not None
    kept_whole = by_room(packed, 40 * 2**30, card)
    assert (kept_whole.name, "8 bits" in kept_whole.reason) == ("ddp", True)


def finished_run(folder: Path, **settings: object) -> Run:
    folder.mkdir()
    run = Run(folder)
    found = resolved("use_cpu=true", *(f"{key}={value}" for key, value in settings.items()))
    assert found.findings.errors == []
    write_spec(found, run.spec_path)
    count = found.run.process_count
    words = ["fttui_engine.train.ranks", str(count)] if count > 1 else ["fttui_engine.train"]
    argv = ["/usr/bin/python3", "-P", "-m", *words]
    run.write_plan(Plan(folder.name, "train", argv, {"CUDA_VISIBLE_DEVICES": ""}, "/", "", None, 60.0))
    return run


def test_another_number_of_processes_keeps_the_batch(tmp_path: Path) -> None:
    run = finished_run(tmp_path / "r", **{"run.processes": 2, "gradient_accumulation_steps": 2})
    alone, change = rescale(run, processes=1)
    assert alone.argv == ["/usr/bin/python3", "-P", "-m", "fttui_engine.train"]
    assert "1 instead of 2 processes" in change
    assert "gradient_accumulation_steps: 4" in change
    assert "dropout" in change
    run.write_plan(alone)
    four, change = rescale(run, processes=4)
    assert four.argv[-2:] == ["fttui_engine.train.ranks", "4"]
    assert "4 instead of 1 processes" in change
    with pytest.raises(WrongRequestError) as refused:
        rescale(run, processes=3)
    assert "cannot share equally" in refused.value.message
    assert refused.value.hint == "it can go on with 1 or 2 or 4 processes"
    with pytest.raises(WrongRequestError, match="on the CPU"):
        rescale(run, gpus=2)


@pytest.mark.skipif(COMPILER is None, reason="needs a C compiler to build the stand-in for NVML")
@pytest.mark.parametrize(
    ("profile", "card", "count"),
    [
        ("dual-ddp-lora", "NVIDIA GeForce RTX 3090,8,6,24576", 2),
        ("multi-gpu-fsdp-qlora", "NVIDIA GeForce RTX 2080 Ti,7,5,11264", 4),
    ],
)
def test_a_profile_passes_its_check_on_the_gpus_that_it_is_for(
    tmp_path: Path, profile: str, card: str, count: int
) -> None:
    assert COMPILER is not None
    library = tmp_path / "libnvidia-ml.so.1"
    subprocess.run([COMPILER, "-shared", "-fPIC", "-o", str(library), str(SOURCE)], check=True)
    environment = {
        **os.environ,
        "LD_LIBRARY_PATH": str(tmp_path),
        "FAKE_NVML": "cards:" + ";".join([card] * count),
    }
    environment.pop("CUDA_VISIBLE_DEVICES", None)
    # A model that needs no download; what the profile says of its size is not what is checked here.
    words = ["check", "--profile", profile, "--json", "--set", "model_name_or_path=demo:tiny"]
    done = subprocess.run(
        [sys.executable, "-m", "fttui", *words], env=environment, capture_output=True, text=True, check=False
    )
    report: dict[str, Any] = json.loads(done.stdout)
    # Which build of torch is installed here is another matter.
    assert [error for error in report["errors"] if error["key"] != "run.python"] == []
    assert report["resolved"]["run"]["gpus"] == count


UNEVEN = ["use_cpu=true", "run.processes=2", "per_device_train_batch_size=3"]


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        ([*UNEVEN, "run.rank_batches=[4]"], "names 1 batches, and there are 2 processes"),
        ([*UNEVEN, "run.rank_batches=[4, 1]"], "are 5 examples together"),
        ([*UNEVEN, "run.rank_batches=[4, 2]", "stage=dpo"], "summed over tokens"),
        ([*UNEVEN, "run.rank_batches=[6, 0]"], "such as [4, 2]"),
        ([*UNEVEN, "run.rank_batches=fast"], "such as [4, 2]"),
    ],
)
def test_batches_of_ranks_that_cannot_be_are_refused(overrides: list[str], words: str) -> None:
    errors = {finding.key: finding.message for finding in resolved(*overrides).findings.errors}
    assert words in errors["run.rank_batches"]


@pytest.mark.parametrize(("written", "read"), [("auto", "auto"), ("[4, 2]", (4, 2)), ("4,2", (4, 2))])
def test_batches_of_ranks_are_kept_by_the_run(tmp_path: Path, written: str, read: object) -> None:
    asked = resolved(*UNEVEN, f"run.rank_batches={written}")
    assert asked.ok, asked.findings.errors
    write_spec(asked, tmp_path / "spec.yaml")
    assert read_spec(tmp_path / "spec.yaml").run.rank_batches == read


def test_batches_of_ranks_say_that_one_process_has_no_use_for_them() -> None:
    warnings = {
        finding.key: finding.message for finding in resolved("run.rank_batches=auto").findings.warnings
    }
    assert "no effect with one process on one machine" in warnings["run.rank_batches"]


def test_the_lines_for_torchrun_are_safe_for_a_shell() -> None:
    asked = resolved("use_cpu=true", "run.processes=2", "output_dir=/tmp/x")
    (_, line) = torchrun_lines(asked, "a b;rm.yaml", ["seed=$(id)"])
    assert line == (
        "torchrun --standalone --nproc-per-node=2 -m fttui_engine.train.job 'a b;rm.yaml' 'seed=$(id)'"
    )
    *comments, line = torchrun_lines(asked, "c.yaml", hosts=3, master="10.0.0.1:29500")
    assert all(comment.startswith("# ") for comment in comments)
    assert '--nnodes=3 --node-rank="$NODE" --nproc-per-node=2' in line
    assert "--master-addr=10.0.0.1 --master-port=29500" in line
    with pytest.raises(WrongRequestError, match="where the result goes"):
        torchrun_lines(resolved("use_cpu=true"), "c.yaml")
    with pytest.raises(WrongRequestError, match="no_such_model"):
        torchrun_lines(resolved("model_name_or_path=/no_such_model", "output_dir=/tmp/x"), "c.yaml")
