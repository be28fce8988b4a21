"""GPUs as NVML reports them, good and bad, with a compiled stand-in for the driver's library."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

SOURCE = Path(__file__).parents[1] / "fake_nvml" / "fake_nvml.c"
DEMO = ["--set", "model_name_or_path=demo:tiny", "--set", "dataset=demo:instructions"]
COMPILER = shutil.which("cc") or shutil.which("gcc")

pytestmark = pytest.mark.skipif(COMPILER is None, reason="needs a C compiler to build the stand-in for NVML")


@pytest.fixture(scope="module", params=["new", "old"])
def either_driver(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("nvml"), old=request.param == "old")


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("nvml"), old=False)


def build(folder: Path, *, old: bool) -> Path:
    assert COMPILER is not None
    flags = ["-Wall", "-Werror", "-shared", "-fPIC", *(["-DOLD_DRIVER"] if old else [])]
    subprocess.run([COMPILER, *flags, "-o", str(folder / "libnvidia-ml.so.1"), str(SOURCE)], check=True)
    return folder


def fttui(library: Path, scenario: str, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    settings = {**os.environ, "LD_LIBRARY_PATH": str(library), "FAKE_NVML": scenario, **environment}
    return subprocess.run(
        [sys.executable, "-m", "fttui", *words],
        env=settings,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def gpus_json(library: Path, scenario: str, **environment: str) -> dict[str, Any]:
    answer = fttui(library, scenario, "gpus", "--json", **environment)
    assert answer.returncode == 0, answer.stderr
    return dict(json.loads(answer.stdout))


def test_one_gpu_with_units_and_without_reserved_memory(driver: Path) -> None:
    (gpu,) = gpus_json(driver, "one_gpu")["gpus"]
    assert gpu | {"read_at": None, "detail": None} == {
        "index": 0,
        "uuid": "GPU-00000000-0000-0000-0000-000000000000",
        "name": "NVIDIA GeForce RTX 3090",
        "utilization_percent": 97,
        "memory_used_bytes": 5120 << 20,
        "memory_total_bytes": 24576 << 20,
        "memory_free_bytes": (24576 - 5120 - 74) << 20,
        "power_watts": 250.5,
        "power_limit_watts": 350.0,
        "temperature_celsius": 71,
        "compute_capability": "8.6",
        "processes": [],
        "errors": {},
        "memory_reserved_bytes": 74 << 20,
        "detail": None,
        "instances": [],
        "xids": [],
        "trouble": "",
        "read_at": None,
    }
    assert abs(gpu["read_at"] - time.time()) < 60
    assert gpu["detail"]["sm_clock_mhz"] == 1395
    assert (gpu["detail"]["pcie_width"], gpu["detail"]["pcie_width_max"]) == (4, 16)
    assert (gpu["detail"]["ecc_corrected"], gpu["detail"]["ecc_uncorrected"]) == (31, 2)
    assert gpu["detail"]["slowed_by"][0] == "its power limit"


def test_the_run_behind_a_process_is_named_with_its_step(driver: Path, tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "mine"
    (folder / "attempts" / "001").mkdir(parents=True)
    progress = {"schema": 1, "phase": "train", "step": 12, "max_steps": 40}
    (folder / "attempts" / "001" / "progress.json").write_text(json.dumps(progress))
    ours = {"FTTUI_RUN": "mine", "FTTUI_RUN_DIR": str(folder), "RANK": "1"}
    with subprocess.Popen(["sleep", "60"], env={**os.environ, **ours}) as process:
        try:
            (gpu,) = gpus_json(driver, "one_gpu", FAKE_NVML_PID=str(process.pid))["gpus"]
            line = fttui(driver, "one_gpu", "gpus", FAKE_NVML_PID=str(process.pid)).stdout
        finally:
            process.kill()
    (shown,) = gpu["processes"]
    ours = {"memory_bytes": 5000 << 20, "run": "mine", "rank": 1, "step": 12, "command": "sleep 60"}
    assert shown == {"pid": process.pid, **ours, "account": shown["account"]}
    assert shown["account"]
    assert "mine rank 1 at step 12" in line


def test_a_process_of_a_stranger_is_only_a_number(driver: Path) -> None:
    (gpu,) = gpus_json(driver, "one_gpu", FAKE_NVML_PID="1")["gpus"]
    shown = gpu["processes"][0]
    assert (shown["pid"], shown["run"], shown["rank"], shown["step"]) == (1, None, None, None)
    assert "other: process 1 of" in fttui(driver, "one_gpu", "gpus", FAKE_NVML_PID="1").stdout


def test_a_lost_gpu_hides_nothing_of_the_others(driver: Path) -> None:
    good, lost = gpus_json(driver, "lost_gpu")["gpus"]
    assert good["utilization_percent"] == 97
    assert lost["utilization_percent"] is None
    assert lost["errors"] == {"handle": "GPU is lost"}
    assert "GPU is lost" in fttui(driver, "lost_gpu", "gpus").stdout


def test_a_value_that_is_not_supported_is_null_with_the_reason(driver: Path) -> None:
    (gpu,) = gpus_json(driver, "not_supported")["gpus"]
    assert gpu["memory_used_bytes"] == 5120 << 20
    for field in ("power_watts", "power_limit_watts", "temperature_celsius", "utilization_percent"):
        assert gpu[field] is None
        assert gpu["errors"][field] == "Not Supported"


def test_an_old_driver_gives_what_it_has(tmp_path: Path) -> None:
    (gpu,) = gpus_json(build(tmp_path, old=True), "one_gpu")["gpus"]
    assert gpu["memory_used_bytes"] == 5194 << 20, "version 1 of the call, reserved memory included"
    assert gpu["processes"] == []
    assert set(gpu["errors"]) == {"processes"}
    assert "old" in gpu["errors"]["processes"]


def test_a_driver_of_2021_tells_the_processes_in_the_older_form(tmp_path: Path) -> None:
    library = tmp_path / "libnvidia-ml.so.1"
    flags = ["-Wall", "-Werror", "-DOLD_DRIVER", "-DDRIVER_470", "-shared", "-fPIC"]
    assert COMPILER is not None
    subprocess.run([COMPILER, *flags, "-o", str(library), str(SOURCE)], check=True)
    (gpu,) = gpus_json(tmp_path, "one_gpu", FAKE_NVML_PID="1")["gpus"]
    assert [each["pid"] for each in gpu["processes"]] == [1]
    assert gpu["errors"] == {}
    assert (gpu["detail"]["pcie_generation"], gpu["detail"]["pcie_generation_max"]) == (1, 4)


@pytest.mark.parametrize(
    ("scenario", "words"),
    [("not_loaded", "not loaded"), ("mismatch", "reboot"), ("none", "No NVIDIA GPU on this machine")],
)
def test_a_driver_without_gpus_is_one_plain_sentence(either_driver: Path, scenario: str, words: str) -> None:
    answer = gpus_json(either_driver, scenario)
    assert answer["gpus"] == []
    assert words in answer["error"]
    assert answer["host"]["cpu_count"] >= 1
    assert answer["host"]["memory_total_bytes"] > answer["host"]["memory_used_bytes"] > 0


@pytest.mark.skipif(Path("/proc/driver/nvidia").exists(), reason="this machine has a driver")
def test_no_driver_at_all_is_one_plain_sentence(tmp_path: Path) -> None:
    answer = fttui(tmp_path, "", "gpus")
    assert answer.returncode == 0
    assert answer.stdout.startswith("No NVIDIA GPU on this machine: ")


@pytest.mark.parametrize(
    ("scenario", "setting", "key", "words"),
    [
        ("not_supported", "bf16=true", "bf16", "use fp16: true"),
        ("not_supported", "pure_bf16=true", "pure_bf16", "Ampere"),
        ("not_supported", "tf32=true", "tf32", "Ampere"),
        ("pascal", "bf16=true", "bf16", "Tesla P4"),
        ("pascal", "quantization_bit=8", "quantization_bit", "use quantization_bit: 4"),
        ("one_gpu", "run.gpus=[3]", "run.gpus", "names GPU 3"),
        ("none", "fp16=true", "fp16", "needs a GPU"),
        ("none", "run.gpus=[0]", "run.gpus", "No NVIDIA GPU"),
    ],
)
def test_check_knows_what_the_gpu_can_do(
    driver: Path, scenario: str, setting: str, key: str, words: str
) -> None:
    answer = fttui(driver, scenario, "check", "--profile", "demo", "--json", "--set", "use_cpu=false",
                   "--set", "run.gpus=auto", "--set", setting)  # fmt: skip
    assert answer.returncode == 2
    (error,) = json.loads(answer.stdout)["errors"]
    assert error["key"] == key
    assert words in error["message"]


@pytest.mark.parametrize(("scenario", "bits"), [("pascal", 4), ("not_supported", 8), ("not_supported", 4)])
def test_packed_weights_work_on_old_cards_too(driver: Path, scenario: str, bits: int) -> None:
    words = ["--set", "use_cpu=false", "--set", "run.gpus=[0]", "--set", f"quantization_bit={bits}"]
    answer = fttui(driver, scenario, "check", "--profile", "demo", *words)
    assert answer.returncode == 0, answer.stdout


def test_the_profile_of_a_small_gpu_fits_a_turing_card(driver: Path) -> None:
    answer = fttui(driver, "not_supported", "check", "--profile", "single-8gb-qlora", "--json")
    assert json.loads(answer.stdout)["errors"] == []


def test_check_is_content_with_an_ampere_card_and_tells_what_is_free(driver: Path) -> None:
    settings = ["use_cpu=false", "run.gpus=1", "bf16=true", "tf32=true"]
    words = [word for setting in settings for word in ("--set", setting)]
    answer = fttui(driver, "one_gpu", "check", "--profile", "demo", "--json", *words)
    verdict = json.loads(answer.stdout)
    assert (answer.returncode, verdict["errors"]) == (0, [])
    # The torch of the tests may be one for the CPU, about which test_hardware_rules.py asks.
    assert {warning["key"] for warning in verdict["warnings"]} <= {"run.python"}
    (gpu,) = verdict["memory"]["per_gpu"]
    assert gpu["free_bytes"] == (24576 - 5120 - 74) << 20
    assert 0 < gpu["predicted_bytes"] < gpu["free_bytes"]


def test_on_the_cpu_the_gpu_does_not_matter(driver: Path) -> None:
    words = ["--profile", "demo", "--set", "bf16=true"]
    assert fttui(driver, "not_supported", "check", *words).returncode == 0


REPEATED = """
import threading, time
from fttui_engine.hardware.gpus import read_driver_cuda, read_gpus
read_gpus()
threads, started = threading.active_count(), time.monotonic()
for _ in range(5):
    good, hung = read_gpus().gpus
    assert good.utilization_percent == 97 and not good.trouble
    assert hung.trouble.startswith("no answer for")
assert time.monotonic() - started < 3, "it is waited for only once"
assert threading.active_count() <= threads, "each look left a thread behind"
print(read_driver_cuda())
"""


def test_a_gpu_that_hangs_delays_and_leaves_behind_only_once(driver: Path) -> None:
    """The queue looks every two seconds, for days; `check` looks four times."""
    settings = {
        **os.environ,
        "LD_LIBRARY_PATH": str(driver),
        "FAKE_NVML": "hung_gpu",
        "FAKE_NVML_CUDA": "12080",
    }
    answer = subprocess.run(
        [sys.executable, "-c", REPEATED],
        env=settings,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (answer.returncode, answer.stdout) == (0, "(12, 8)\n"), answer.stderr
