"""What the last words of a program mean: one table from what libraries print when they die to what a person can do.

Only for programs that did not say themselves why they ended. The earliest line that fits counts: when one rank dies,
the others print failures of their own, which are only its echo.
"""

import re
from pathlib import Path
from typing import NamedTuple

from fttui_engine.runs.logs import tail

LAST_LINES = 400
"""A multi-GPU crash prints a traceback per rank, each of 20 to 60 lines."""


class Diagnosis(NamedTuple):
    """A class of failure, in a word for programs and two sentences for people."""

    kind: str
    message: str
    advice: str


class Pattern(NamedTuple):
    """Words that only a failure of one class prints."""

    words: str
    diagnosis: Diagnosis


def _pattern(kind: str, words: str, message: str, advice: str) -> Pattern:
    return Pattern(words, Diagnosis(kind, message, advice))


PATTERNS = (
    _pattern(
        "oom_cuda",
        r"CUDA out of memory|torch\.(?:cuda\.)?OutOfMemoryError|CUBLAS_STATUS_ALLOC_FAILED|CUDA error: out of memory",
        "The GPU ran out of memory.",
        "lower per_device_train_batch_size and raise gradient_accumulation_steps, set gradient_checkpointing: true, "
        "or lower cutoff_len; fttui gpus shows what else is on the card",
    ),
    _pattern(
        "shared_memory",
        r"out of shared memory|insufficient shared memory|unable to (?:open|allocate|write to) .{0,40}</?torch_",
        "Shared memory (/dev/shm) is full.",
        "lower dataloader_num_workers, or give the container more: docker run --shm-size=8g",
    ),
    _pattern(
        "oom_host",
        r"DefaultCPUAllocator: can't allocate memory|^MemoryError\b|DataLoader worker \(pid[^)]*\) is killed by signal: Killed",
        "The machine ran out of memory.",
        "lower dataloader_num_workers or per_device_train_batch_size, or use a smaller model",
    ),
    _pattern(
        "nccl_timeout",
        r"Watchdog caught collective operation timeout|Timed out waiting \d+ms for (?:recv|send) operation",
        "The ranks waited for one of them in vain: it was slower, stuck or gone.",
        "look which rank said nothing last; data that one rank prepares for longer than ddp_timeout does this too",
    ),
    _pattern(
        "rank_lost",
        r"Connection closed by (?:remote )?peer|ncclRemoteError|DistBackendError: NCCL error|Connection reset by peer",
        "The connection to another rank broke: its process ended or its network failed.",
        "the log of that rank has the cause",
    ),
    _pattern(
        "gpu_lost",
        r"fallen off the bus|GPU is lost|uncorrectable ECC error|Xid.{0,40}: (?:48|62|64|74|79|94|95)\b",
        "A GPU failed: the driver lost it, or its memory has an error that cannot be corrected.",
        "leave it out with run.gpus, and reset or reboot; if it comes back, the card or its slot is broken",
    ),
    _pattern(
        "gpu_fault",
        r"an illegal memory access was encountered|unspecified launch failure|misaligned address",
        "A kernel on the GPU went wrong.",
        "once: resume; again at the same step: look at the custom kernels (flash attention, Liger, bitsandbytes)",
    ),
    _pattern(
        "device_assert",
        r"device-side assert triggered|Assertion `(?:t >= 0|srcIndex|ind(?:ex)? >= )",
        "An index was outside its table on the GPU: most often a token id beyond the vocabulary.",
        "check that tokenizer and model belong together; CUDA_LAUNCH_BLOCKING=1 names the line",
    ),
    _pattern(
        "no_kernel",
        r"no kernel image is available|is not compatible with the current PyTorch installation",
        "This build of torch has no code for this GPU.",
        "install the build for the card: docs/install.md lists which",
    ),
    _pattern(
        "driver",
        r"driver version is insufficient|NVIDIA driver on your system is too old|Driver/library version mismatch"
        r"|Found no NVIDIA driver|no CUDA-capable device|Torch not compiled with CUDA enabled|CUDA unknown error",
        "torch and the NVIDIA driver do not work together.",
        "nvidia-smi shows whether the driver answers; a mismatch needs a reboot or a torch build for an older CUDA",
    ),
    _pattern(
        "precision",
        r"not implemented for 'BFloat16'|bf16.{0,60}not supported|Attempting to unscale FP16 gradients",
        "The precision does not work on this hardware, or not with these weights.",
        "use fp16 in place of bf16 on cards before Ampere, and keep adapters in float32",
    ),
    _pattern(
        "disk_full",
        r"No space left on device|Disk quota exceeded|PytorchStreamWriter failed|inline_container.{0,60}unexpected pos",
        "The disk is full.",
        "free some space in the output folder, or lower save_total_limit",
    ),
    _pattern(
        "open_files",
        r"Too many open files",
        "The limit of open files was reached.",
        "raise it with ulimit -n, or lower dataloader_num_workers",
    ),
    _pattern(
        "no_processes",
        r"can't start new thread|Resource temporarily unavailable|BlockingIOError: \[Errno 11\]",
        "The limit of processes or threads was reached.",
        "raise it with ulimit -u or in the container's settings, or lower dataloader_num_workers",
    ),
    _pattern(
        "port_in_use",
        r"EADDRINUSE|[Aa]ddress already in use",
        "The port for the connection between the ranks is taken.",
        "start it again, or choose another port with --master-port",
    ),
    _pattern(
        "no_access",
        r"GatedRepoError|Cannot access gated repo|401 Client Error|Repository Not Found for url|RepositoryNotFoundError",
        "The hub does not give out this model or dataset.",
        "check its name, accept its terms in the browser, and log in with: hf auth login",
    ),
    _pattern(
        "offline",
        r"LocalEntryNotFoundError|We couldn't connect to '?https://|Max retries exceeded with url|Name or service not known"
        r"|Temporary failure in name resolution|OfflineModeIsEnabled",
        "Something had to be downloaded, and the network did not answer.",
        "download it first where there is a network, and give its local folder",
    ),
    _pattern(
        "checkpoint",
        r"SafetensorError|PytorchStreamReader failed|Can't find a valid checkpoint|Error\(s\) in loading state_dict",
        "A checkpoint or weights file is damaged, or belongs to another model.",
        "resume from an older checkpoint",
    ),
    _pattern(
        "environment",
        r"ModuleNotFoundError: No module named|ImportError: .*(?:cannot import name|undefined symbol|cannot open shared object)",
        "A package is missing, or two packages do not fit together.",
        "install what the line above names into the environment of this run",
    ),
    _pattern(
        "arguments",
        r"error: (?:unrecognized arguments|the following arguments are required|argument )",
        "The program does not take these arguments.",
        "correct the command",
    ),
)

# What another attempt of the same program would only run into again.
REPEATED = frozenset(
    {"arguments", "device_assert", "driver", "environment", "no_access", "no_kernel", "precision"}
)

_COMPILED = tuple((re.compile(pattern.words), pattern.diagnosis) for pattern in PATTERNS)


_FIRST_RANK = re.compile(r"Root Cause.*?rank\s*:\s*(\d+).*?exitcode\s*:\s*(-?\d+)", re.DOTALL)
"""What torchrun prints of the rank that failed before all others."""
_RANK_PREFIX = re.compile(r"^\[(?:rank|default)\d+\]:\s?")


def diagnose(log_path: Path) -> Diagnosis | None:
    """Return what the end of a log says about why its program died, ``None`` where it says nothing known."""
    lines = [_RANK_PREFIX.sub("", line) for line in tail(log_path, LAST_LINES)]
    found = _earliest(lines)
    if first := _FIRST_RANK.search("\n".join(lines)):
        rank, code = first.groups()
        how = f"by signal {code[1:]}" if code.startswith("-") else f"with exit code {code}"
        message = f"Rank {rank} ended first, {how}."
        if found is None or found.kind == "rank_lost":
            return Diagnosis("rank_lost", message, "its last words in the log have the cause")
        return found._replace(message=f"{message} {found.message}")
    return found


def _earliest(lines: list[str]) -> Diagnosis | None:
    for line in lines:
        # Lines of source in a traceback: they name errors that may not have happened.
        if line.startswith("  "):
            continue
        for words, diagnosis in _COMPILED:
            if words.search(line):
                return diagnosis._replace(message=f"{diagnosis.message} It said: {line.strip()[:200]}")
    return None
