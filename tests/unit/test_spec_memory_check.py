"""What ``fttui check`` says about memory, with and without GPUs, and what it advises."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fttui_engine.spec.check import check
from fttui_engine.spec.load import resolve
from fttui_engine.spec.memory.advice import Device, advise
from fttui_engine.spec.memory.peak import predict
from fttui_engine.spec.memory.shape_reading import read_shape
from fttui_engine.spec.memory.workload import read_workload

SOURCE = Path(__file__).parents[1] / "fake_nvml" / "fake_nvml.c"
COMPILER = shutil.which("cc") or shutil.which("gcc")
GIB = 1 << 30
LLAMA_2_7B = {
    "model_type": "llama",
    "vocab_size": 32000,
    "hidden_size": 4096,
    "intermediate_size": 11008,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 32,
}

needs_compiler = pytest.mark.skipif(
    COMPILER is None, reason="needs a C compiler to build the stand-in for NVML"
)


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("nvml")
    (folder / "run.yaml").write_text("dataset: demo:instructions\n")
    library = str(folder / "libnvidia-ml.so.1")
    subprocess.run([str(COMPILER), "-shared", "-fPIC", "-o", library, str(SOURCE)], check=True)
    return folder


@pytest.fixture
def model(tmp_path: Path) -> Path:
    (tmp_path / "config.json").write_text(json.dumps(LLAMA_2_7B))
    return tmp_path


def checked(folder: Path, scenario: str, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "LD_LIBRARY_PATH": str(folder), "FAKE_NVML": scenario}
    environment.pop("CUDA_VISIBLE_DEVICES", None)
    settings = [word for setting in words for word in ("--set", setting)]
    return subprocess.run(
        [sys.executable, "-m", "fttui", "check", str(folder / "run.yaml"), *settings, "--json"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def memory_json(folder: Path, scenario: str, *words: str) -> dict[str, Any]:
    return dict(json.loads(checked(folder, scenario, *words).stdout)["memory"])


def of_seven_billion(model: Path) -> tuple[str, ...]:
    return f"model_name_or_path={model}", "dataset=demo:instructions", "quantization_bit=4"


@needs_compiler
def test_why_seven_billion_weights_in_4_bits_do_not_fit_eight_p4(driver: Path, model: Path) -> None:
    memory = memory_json(driver, "eight_p4", *of_seven_billion(model), "run.gpus=8", "run.strategy=ddp")
    assert memory["fits"] is False
    assert [gpu["index"] for gpu in memory["per_gpu"]] == list(range(8))
    first = memory["per_gpu"][0]
    assert first["free_bytes"] == (7680 - 70) << 20
    assert first["predicted_bytes"] == sum(first["terms"].values()) > first["free_bytes"]
    assert first["terms"]["weights"] < first["free_bytes"], "the weights are not the reason"
    words = memory["explanation"]
    assert "Tesla P4" in words
    assert "Most of it: activations" in words
    assert "bits shrink the weights only" in words
    assert "8 GPUs do not add up: DDP gives each of them a whole copy" in words
    best = memory["advice"][0]
    assert best["changes"] == {"per_device_train_batch_size": 1, "gradient_accumulation_steps": 8}
    assert best["predicted_bytes"] <= first["free_bytes"]
    assert (best["fits"], best["is_tight"]) == (True, True), "too near to promise it"


@needs_compiler
def test_a_batch_that_fits_needs_no_advice(driver: Path, model: Path) -> None:
    small = ("per_device_train_batch_size=1", "cutoff_len=512", "run.gpus=[3]")
    memory = memory_json(driver, "eight_p4", *of_seven_billion(model), *small)
    assert (memory["fits"], memory["advice"], memory["reason"]) == (True, [], None)
    assert [gpu["index"] for gpu in memory["per_gpu"]] == [3]
    assert memory["explanation"].startswith("It fits")


@needs_compiler
def test_an_idle_gpu_is_told_from_a_busy_one(driver: Path, model: Path) -> None:
    memory = memory_json(driver, "one_gpu", *of_seven_billion(model), "bf16=true", "cutoff_len=8192")
    assert memory["per_gpu"][0]["free_bytes"] == (24576 - 74 - 5120) << 20
    assert memory["fits"] is False
    assert "5.0 GiB are in use by other processes" in memory["explanation"]


@needs_compiler
def test_a_gpu_without_an_answer_is_null_and_a_reason(driver: Path, model: Path) -> None:
    memory = memory_json(driver, "lost_gpu", *of_seven_billion(model), "run.gpus=[1]")
    assert (memory["fits"], memory["per_gpu"][0]["free_bytes"]) == (None, None)
    assert "free" in memory["reason"]
    assert memory["prediction"]["predicted_bytes"] > 5 * GIB


@needs_compiler
def test_without_a_gpu_the_number_is_there_and_the_verdict_is_not(driver: Path, model: Path) -> None:
    memory = memory_json(driver, "none", *of_seven_billion(model))
    assert (memory["per_gpu"], memory["fits"], memory["advice"]) == ([], None, [])
    assert memory["prediction"]["predicted_bytes"] == sum(memory["prediction"]["terms"].values())
    assert memory["host_bytes"] > 0
    assert "No NVIDIA GPU" in memory["reason"]


def test_on_the_cpu_host_memory_is_predicted_and_judged() -> None:
    overrides = ["model_name_or_path=demo:tiny", "dataset=demo:instructions", "use_cpu=true"]
    memory = check(resolve(None, overrides=overrides)).to_json()["memory"]
    assert memory["fits"] is True
    assert memory["host_bytes"] == memory["prediction"]["predicted_bytes"]
    assert "libraries" in memory["prediction"]["terms"]
    assert "cuda_context" not in memory["prediction"]["terms"]


def test_processes_on_the_cpu_share_its_memory() -> None:
    # One takes about 1.4 GiB, so that it fits anywhere, and so many of them nowhere.
    overrides = [
        "model_name_or_path=demo:tiny",
        "dataset=demo:instructions",
        "use_cpu=true",
        "cutoff_len=128",
    ]
    overrides += ["per_device_train_batch_size=400", "run.processes=1024"]
    memory = check(resolve(None, overrides=overrides)).to_json()["memory"]
    assert memory["host_bytes"] == 1024 * memory["prediction"]["predicted_bytes"]
    assert memory["fits"] is False
    assert "for each of 1024 processes" in memory["explanation"]
    assert re.search(r"There is room for run.processes: [1-9]", memory["explanation"])


def test_a_hub_model_is_found_in_the_cache_by_its_branch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    overrides = ["model_name_or_path=owner/name", "dataset=demo:instructions"]
    memory = check(resolve(None, overrides=overrides)).to_json()["memory"]
    assert memory["prediction"] is None
    assert "owner/name is not on this host yet" in memory["reason"]
    folder = tmp_path / "models--owner--name"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text("0123abcd")
    (folder / "snapshots" / "0123abcd").mkdir(parents=True)
    (folder / "snapshots" / "0123abcd" / "config.json").write_text(json.dumps(LLAMA_2_7B))
    assert check(resolve(None, overrides=overrides)).memory.prediction is not None


@pytest.mark.parametrize(
    "setting", ["cutoff_len=long", "bf16=perhaps", "lora_rnak=64", "run.strategy=some", "run.gpus=some"]
)
def test_an_error_that_may_change_the_memory_leaves_no_number(model: Path, setting: str) -> None:
    words = [f"model_name_or_path={model}", "dataset=demo:instructions", setting]
    memory = check(resolve(None, overrides=words)).to_json()["memory"]
    assert (memory["prediction"], memory["fits"]) == (None, None)
    assert setting.partition("=")[0] in memory["reason"]


def test_an_error_elsewhere_leaves_the_number(model: Path) -> None:
    words = [f"model_name_or_path={model}", "dataset=missing.json"]
    resolved = resolve(None, overrides=words)
    assert not resolved.ok
    assert check(resolved).memory.prediction is not None


@needs_compiler
def test_what_an_old_gpu_cannot_do_is_predicted_as_it_stands(driver: Path, model: Path) -> None:
    words = (f"model_name_or_path={model}", "run.gpus=[0]", "per_device_train_batch_size=1")
    sizes = [
        memory_json(driver, "eight_p4", *words, f"bf16={choice}")["prediction"]["terms"]["weights"]
        for choice in ("true", "false")
    ]
    assert sizes[1] == 2 * sizes[0]


def test_disk_is_counted_by_what_is_kept(model: Path) -> None:
    def memory(*words: str) -> dict[str, Any]:
        overrides = [f"model_name_or_path={model}", "dataset=demo:instructions", *words]
        return dict(check(resolve(None, overrides=overrides)).to_json()["memory"])

    each = memory()["checkpoint_bytes"]
    adapter = 19_988_480
    assert each == pytest.approx(12 * adapter, abs=25e6)
    assert memory()["disk_bytes"] is None, "only the data decide how many steps there are"
    assert memory("save_total_limit=3")["disk_bytes"] == pytest.approx(4 * each + 4 * adapter, abs=25e6)
    assert memory("save_total_limit=1")["disk_bytes"] == pytest.approx(3 * each + 4 * adapter, abs=25e6)
    assert memory("max_steps=100", "save_steps=50")["disk_bytes"] == pytest.approx(
        2 * each + 4 * adapter, abs=25e6
    )
    assert memory("finetuning_type=full")["checkpoint_bytes"] == pytest.approx(12 * 6.74e9, rel=0.01)
    # The whole model, and the optimizer's states of two of its 32 layers.
    frozen = memory("finetuning_type=freeze", "bf16=true")["checkpoint_bytes"]
    of_layers = 2 * 202_383_360
    assert frozen == pytest.approx(2 * (6.738e9 - of_layers) + 12 * of_layers, rel=0.01)


def advised(free_gib: float, capability: tuple[int, int] = (8, 6), **values: Any) -> Any:
    settings = ["model_name_or_path=demo:tiny", "dataset=demo:instructions"]
    resolved = resolve(None, overrides=[*settings, *(f"{key}={value}" for key, value in values.items())])
    shape = read_shape(LLAMA_2_7B)
    device = Device(int(free_gib * GIB), on_cpu=False, processes=1, compute_capability=capability)
    return shape, resolved.values, device, advise(shape, resolved.values, device)


def test_advice_keeps_its_promise_and_the_result_comes_first() -> None:
    shape, values, device, advice = advised(30, bf16=True, gradient_checkpointing=False)
    assert list(advice[0].changes) == ["per_device_train_batch_size", "gradient_accumulation_steps"]
    changed = values | advice[0].changes
    examples = changed["per_device_train_batch_size"] * changed["gradient_accumulation_steps"]
    assert examples == values["per_device_train_batch_size"] * values["gradient_accumulation_steps"]
    for entry in advice:
        work = read_workload(values | entry.changes, shape, on_cpu=False, processes=1)
        assert predict(shape, work).predicted_bytes == entry.predicted_bytes
        assert entry.fits == (entry.predicted_bytes <= device.free_bytes)


def test_half_precision_is_advised_where_the_gpu_has_it() -> None:
    def precisions(capability: tuple[int, int]) -> set[str]:
        advice = advised(26, capability, per_device_train_batch_size=1)[3]
        return {key for entry in advice for key in entry.changes if key in ("bf16", "fp16")}

    assert precisions((8, 0)) == {"bf16"}
    assert precisions((7, 5)) == {"fp16"}
    assert precisions((6, 1)) == set(), "on a P4 it is slower than float32"


def test_what_no_single_change_does_a_combination_does() -> None:
    shape, values, device, advice = advised(7.4, (6, 1), finetuning_type="full")
    assert advice[0].fits
    assert advice[0].changes["finetuning_type"] == "lora"
    assert advice[0].changes["quantization_bit"] == 4
    without_packing = {key: value for key, value in advice[0].changes.items() if key != "quantization_bit"}
    work = read_workload(values | without_packing, shape, on_cpu=False, processes=1)
    assert predict(shape, work).predicted_bytes > device.free_bytes, "nothing needless is advised"
    assert not any(entry.fits for entry in advice[1:])


def test_where_nothing_helps_no_advice_claims_to() -> None:
    assert not any(entry.fits for entry in advised(3, bf16=True)[3])


@needs_compiler
def test_left_to_itself_the_run_divides_the_model_and_the_check_says_so(driver: Path, model: Path) -> None:
    memory = memory_json(driver, "eight_p4", *of_seven_billion(model), "run.gpus=8")
    ddp = memory_json(driver, "eight_p4", *of_seven_billion(model), "run.gpus=8", "run.strategy=ddp")
    assert "run.strategy: auto becomes fsdp" in memory["explanation"]
    assert "activations and logits, 15.4 GiB, belong to the batch of each" in memory["explanation"]
    terms = memory["prediction"]["terms"]
    assert terms["weights"] == pytest.approx(ddp["prediction"]["terms"]["weights"] / 8, rel=0.001)
    assert memory["advice"][0]["changes"] == {
        "per_device_train_batch_size": 1,
        "gradient_accumulation_steps": 8,
    }
    assert (memory["advice"][0]["fits"], memory["advice"][0]["is_tight"]) == (True, False)


@needs_compiler
def test_where_one_change_is_tight_several_leave_room(driver: Path, model: Path) -> None:
    memory = memory_json(driver, "eight_p4", *of_seven_billion(model), "run.gpus=8", "run.strategy=ddp")
    roomy = memory["advice"][-1]
    assert roomy["changes"]["run.strategy"] == "fsdp"
    assert 1.2 * roomy["predicted_bytes"] <= memory["per_gpu"][0]["free_bytes"]
    assert not roomy["is_tight"]


@needs_compiler
def test_other_gpus_of_the_host_are_thought_of(driver: Path, model: Path) -> None:
    one = ("per_device_train_batch_size=1", "cutoff_len=4096")
    memory = memory_json(driver, "eight_p4", *of_seven_billion(model), *one)
    assert memory["advice"][0]["changes"] == {"run.gpus": 8, "run.strategy": "fsdp"}
    assert memory["advice"][0]["fits"]
    with_advice = memory_json(
        driver, "eight_p4", *of_seven_billion(model), *one, "run.gpus=8", "run.strategy=fsdp"
    )
    assert with_advice["prediction"]["predicted_bytes"] == memory["advice"][0]["predicted_bytes"]


def test_a_loss_in_chunks_is_advised_first_where_a_large_vocabulary_is_the_peak() -> None:
    values = advised(8, bf16=True, quantization_bit=4, per_device_train_batch_size=1, chunked_loss="false")[1]
    llama_3 = {"vocab_size": 128256, "intermediate_size": 14336, "num_key_value_heads": 8}
    device = Device(8 * GIB, on_cpu=False, processes=1, compute_capability=(8, 6))
    first = advise(read_shape(LLAMA_2_7B | llama_3), values, device)[0]
    assert (first.changes, first.fits) == ({"chunked_loss": "auto"}, True)
