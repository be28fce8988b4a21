"""What each card can do, as ``fttui check`` says it, and the torch builds that still carry it."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fttui_engine.hardware.capability import GENERATIONS, Card, best_precision, rules_for
from fttui_engine.hardware.torch_build import TorchBuild, architectures, build_problem, has_kernels

SOURCE = Path(__file__).parents[1] / "fake_nvml" / "fake_nvml.c"
COMPILER = shutil.which("cc") or shutil.which("gcc")
needs_compiler = pytest.mark.skipif(
    COMPILER is None, reason="needs a C compiler to build the stand-in for NVML"
)

# Name, compute capability, MiB.
P4 = ("Tesla P4", 6, 1, 7680)
P100 = ("Tesla P100-PCIE-16GB", 6, 0, 16384)
V100 = ("Tesla V100-SXM2-16GB", 7, 0, 16384)
T4 = ("Tesla T4", 7, 5, 15360)
RTX_2080 = ("NVIDIA GeForce RTX 2080 Ti", 7, 5, 11264)
RTX_3090 = ("NVIDIA GeForce RTX 3090", 8, 6, 24576)
RTX_4090 = ("NVIDIA GeForce RTX 4090", 8, 9, 24564)
H100 = ("NVIDIA H100 80GB HBM3", 9, 0, 81559)
RTX_5090 = ("NVIDIA GeForce RTX 5090", 12, 0, 32607)
CardTuple = tuple[str, int, int, int]

# The default build of PyPI for torch 2.13, the last line with kernels for old cards, and one of the time before.
CU130, CU126, CU128 = (
    TorchBuild("2.13.0+cu130", "13.0"),
    TorchBuild("2.13.0+cu126", "12.6"),
    TorchBuild("2.10.0+cu128", "12.8"),
)


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("nvml")
    library = str(folder / "libnvidia-ml.so.1")
    subprocess.run(
        [str(COMPILER), "-Wall", "-Werror", "-shared", "-fPIC", "-o", library, str(SOURCE)], check=True
    )
    return folder


@pytest.fixture
def python(tmp_path: Path) -> str:
    """A Python whose torch is the default build."""
    return environment(tmp_path, CU130)


def environment(folder: Path, build: TorchBuild, *, hip: str | None = None) -> str:
    package = folder / "lib" / "python3.11" / "site-packages" / "torch"
    package.mkdir(parents=True)
    lines = [
        "from typing import Optional",
        f"__version__ = {build.version!r}",
        f"cuda: Optional[str] = {build.cuda!r}",
        f"hip: Optional[str] = {hip!r}",
    ]
    (package / "version.py").write_text("\n".join(lines) + "\n")
    (folder / "bin").mkdir()
    (folder / "bin" / "python").symlink_to(sys.executable)
    return str(folder / "bin" / "python")


def scenario(*cards: CardTuple) -> str:
    return "cards:" + ";".join(",".join(map(str, card)) for card in cards)


def fttui(library: Path, cards: tuple[CardTuple, ...], *words: str, cuda: str = "") -> str:
    settings = {**os.environ, "LD_LIBRARY_PATH": str(library), "FAKE_NVML": scenario(*cards)}
    settings |= {"FAKE_NVML_CUDA": cuda} if cuda else {}
    settings.pop("CUDA_VISIBLE_DEVICES", None)
    argv = [sys.executable, "-m", "fttui", *words]
    return subprocess.run(argv, env=settings, capture_output=True, text=True, timeout=60, check=False).stdout


def verdict(
    library: Path, cards: tuple[CardTuple, ...], *settings: str, profile: str = "demo", cuda: str = ""
) -> dict[str, Any]:
    on_gpu = ["use_cpu=false", "run.gpus=auto"] if profile == "demo" else []
    words = [word for setting in (*on_gpu, *settings) for word in ("--set", setting)]
    return dict(json.loads(fttui(library, cards, "check", "--profile", profile, "--json", *words, cuda=cuda)))


@needs_compiler
@pytest.mark.parametrize(
    ("card", "key", "suggestion"),
    [
        (P4, "bf16", "bf16: false"),
        (P100, "bf16", "fp16: true"),
        (V100, "bf16", "fp16: true"),
        (T4, "bf16", "fp16: true"),
        (RTX_2080, "pure_bf16", "fp16: true"),
        (RTX_3090, "bf16", None),
        (RTX_4090, "bf16", None),
        (H100, "bf16", None),
        (RTX_5090, "bf16", None),
        (V100, "fp16", None),
        (V100, "tf32", "tf32: false"),
        (RTX_4090, "tf32", None),
        (RTX_3090, "quantization_bit", None),
    ],
)
def test_a_precision_is_refused_where_the_card_lacks_it_with_the_one_to_use(
    driver: Path, python: str, card: CardTuple, key: str, suggestion: str | None
) -> None:
    build = f"run.python={python}"
    setting = f"{key}=8" if key == "quantization_bit" else f"{key}=true"
    errors = {error["key"]: error for error in verdict(driver, (card,), setting, build)["errors"]}
    # The default build has no kernels for cards before Turing, which is another matter.
    errors.pop("run.python", None)
    if suggestion is None:
        assert errors == {}
    else:
        assert errors[key]["suggestion"] == suggestion
        assert card[0] in errors[key]["message"]


@needs_compiler
def test_a_p4_is_told_what_an_expert_would_say(driver: Path, tmp_path: Path) -> None:
    build = f"run.python={environment(tmp_path, CU126)}"
    (error,) = verdict(driver, (P4,), "bf16=true", build)["errors"]
    for words in ("Tesla P4", "8.0 (Ampere)", "emulate", "1/64", "float32", "quantization_bit: 4"):
        assert words in error["message"]
    report = verdict(driver, (P4,), "fp16=true", build)
    (warning,) = [finding for finding in report["warnings"] if finding["key"] == "fp16"]
    assert report["ok"]
    assert "1/64" in warning["message"]


@needs_compiler
def test_mixed_cards_compute_in_what_all_of_them_can(driver: Path, python: str) -> None:
    (error,) = verdict(driver, (RTX_2080, RTX_3090), "bf16=true", "run.gpus=[0]", f"run.python={python}")[
        "errors"
    ]
    assert error["suggestion"] == "fp16: true"
    report = verdict(driver, (RTX_2080, RTX_3090), "bf16=true", f"run.python={python}")
    assert report["ok"], "auto may still choose the Ampere card"
    assert "2080 Ti" in report["warnings"][0]["message"]
    assert best_precision([(7, 5), (8, 6)]) == "fp16"
    assert best_precision([(6, 1), (8, 6)]) is None
    assert best_precision([(8, 6), (12, 0)]) == "bf16"
    assert best_precision([]) is None


@needs_compiler
@pytest.mark.parametrize(
    ("card", "precision", "tf32"),
    [(P4, None, None), (T4, "fp16", None), (RTX_3090, "bf16", True), (RTX_5090, "bf16", True)],
)
@pytest.mark.parametrize("profile", ["single-24gb-lora", "single-8gb-qlora"])
def test_a_profile_takes_the_precision_of_the_card(
    driver: Path, python: str, card: CardTuple, precision: str | None, tf32: bool | None, profile: str
) -> None:
    report = verdict(driver, (card,), f"run.python={python}", profile=profile)
    resolved = report["resolved"]
    assert {key for key in ("bf16", "fp16") if resolved[key]} == ({precision} if precision else set())
    assert resolved.get("tf32") == (tf32 if profile == "single-24gb-lora" else None)
    assert not any(
        finding["key"] in ("bf16", "fp16", "tf32") for finding in report["errors"] + report["warnings"]
    )
    wrote = "bf16" if profile == "single-24gb-lora" else "fp16"
    assert any(card[0] in item["why"] for item in report["translated"]) is (precision != wrote)


@needs_compiler
def test_what_a_person_wrote_is_not_changed(driver: Path, python: str) -> None:
    report = verdict(driver, (T4,), "bf16=true", f"run.python={python}", profile="single-24gb-lora")
    assert [error["key"] for error in report["errors"] if error["key"] != "model_name_or_path"] == ["bf16"]
    assert report["resolved"]["bf16"] is True


@needs_compiler
def test_profiles_are_marked_by_what_this_machine_has(driver: Path) -> None:
    def fitting(*cards: CardTuple) -> set[str]:
        answer = json.loads(fttui(driver, cards, "profiles", "--json"))
        return {profile["name"] for profile in answer if profile["fits_here"]}

    assert fitting(P4) == {"demo", "single-8gb-qlora"}
    assert fitting(RTX_3090, RTX_3090) >= {"single-24gb-lora", "dual-ddp-lora"}
    assert "multi-gpu-fsdp-qlora" in fitting(P4, P4, P4, P4)
    lines = fttui(driver, (P4,), "profiles").splitlines()
    assert [line.split()[1] for line in lines if line.startswith("* ") and "hardware" not in line] == [
        "demo",
        "single-8gb-qlora",
    ]


@needs_compiler
@pytest.mark.parametrize(
    ("card", "build", "words"),
    [
        (
            P4,
            CU130,
            [
                "Tesla P4",
                "6.1",
                "no kernel image",
                '"torch<2.15" --index-url https://download.pytorch.org/whl/cu126',
            ],
        ),
        (V100, CU130, ["whl/cu126"]),
        (RTX_5090, CU126, ["12.0", "whl/cu130"]),
        (RTX_3090, TorchBuild("2.13.0+cpu", None), ["built for the CPU only", "would train on the CPU"]),
        (P4, CU126, []),
        (RTX_2080, CU130, []),
        (RTX_4090, CU126, []),
        (RTX_5090, CU130, []),
    ],
)
def test_the_build_of_torch_is_compared_with_the_card(
    driver: Path, tmp_path: Path, card: CardTuple, build: TorchBuild, words: list[str]
) -> None:
    report = verdict(driver, (card,), f"run.python={environment(tmp_path, build)}")
    findings = [
        finding for finding in report["errors"] + report["warnings"] if finding["key"] == "run.python"
    ]
    assert bool(findings) is bool(words)
    assert all(word in findings[0]["message"] for word in words)
    assert report["ok"] is (not words or build.cuda is None)


@needs_compiler
def test_a_driver_that_is_too_old_for_the_build_is_named(driver: Path, python: str) -> None:
    (error,) = verdict(driver, (RTX_3090,), f"run.python={python}", cuda="12080")["errors"]
    assert "knows CUDA 12.8" in error["message"]
    assert "whl/cu128" in error["suggestion"]
    assert verdict(driver, (RTX_3090,), f"run.python={python}", cuda="13000")["ok"]


@needs_compiler
def test_flash_attention_is_refused_before_ampere(driver: Path, python: str) -> None:
    errors = {
        error["key"]: error
        for error in verdict(driver, (T4,), "flash_attn=fa2", f"run.python={python}")["errors"]
    }
    assert errors["flash_attn"]["suggestion"] == "flash_attn: sdpa"
    assert verdict(driver, (H100,), "flash_attn=fa2", f"run.python={python}")["ok"]


def test_rocm_and_unknown_builds_are_left_alone(tmp_path: Path) -> None:
    from fttui_engine.hardware.torch_build import installed_build

    assert installed_build(environment(tmp_path, TorchBuild("2.13.0+rocm7", None), hip="7.0")) is None
    assert installed_build(str(tmp_path / "elsewhere" / "bin" / "python")) is None
    mine = installed_build()
    assert mine is None or mine.version[0].isdigit()
    assert architectures(TorchBuild("2.13.0+cu130", "13.0"), "aarch64") is None
    assert architectures(TorchBuild("1.4.0", "10.1"), "x86_64") is None
    future = Card("GPU 0 (a card of tomorrow)", (13, 0))
    assert build_problem(CU130, [future], None) is None, "nobody knows"


def test_kernels_run_on_later_cards_of_the_same_major_version_only() -> None:
    old, new = architectures(CU126, "x86_64"), architectures(CU130, "x86_64")
    assert old is not None and new is not None
    assert has_kernels((6, 1), old), "with those of 6.0"
    assert not has_kernels((6, 1), new)
    assert has_kernels((8, 9), new)
    assert not has_kernels((12, 0), old)
    volta = [TorchBuild(f"2.{minor}.0", "12.8") for minor in (7, 8, 10, 11)]
    assert [has_kernels((7, 0), architectures(build, "x86_64") or ()) for build in volta] == [
        False,
        True,
        True,
        False,
    ]


def test_rows_of_the_table_are_in_order_and_nothing_is_lost_on_the_way_up() -> None:
    assert [row.since for row in GENERATIONS] == sorted(row.since for row in GENERATIONS)
    assert rules_for((6, 2)).since == (6, 1)
    assert rules_for((12, 1)).name == "Blackwell"
    for flag in (
        "has_bf16",
        "has_tf32",
        "has_flash_attention",
        "has_compile",
        "has_triton",
        "has_four_bit",
        "has_int8",
    ):
        course = [getattr(row, flag) for row in GENERATIONS]
        assert course == sorted(course), flag
