"""The NVIDIA driver and its GPUs."""

from fttui_engine.doctor.finding import Finding
from fttui_engine.hardware.capability import best_precision, rules_for
from fttui_engine.hardware.gpu import Gpu, GpuReport
from fttui_engine.hardware.gpu_watch import GpuWatch
from fttui_engine.hardware.gpus import FIRST_GPU_SECONDS, OPEN_SECONDS, OTHER_GPU_SECONDS, read_driver_cuda
from fttui_engine.hardware.nvml import NO_GPU, ask, open_nvml

SUBJECT = "GPUs"
DEADLINE_SECONDS = OPEN_SECONDS + FIRST_GPU_SECONDS + OTHER_GPU_SECONDS + 1
GIB = 1 << 30


def look_at_gpus() -> list[Finding]:
    """Driver, then each GPU with what is wrong with it."""
    # Not once but as a monitor does: that also reads the Xids of the kernel's log.
    watch = GpuWatch()
    try:
        report = watch.wait(OPEN_SECONDS, FIRST_GPU_SECONDS, OTHER_GPU_SECONDS)
    finally:
        watch.close()
    if not report.gpus:
        return [_no_gpu(report)]
    findings = [_driver()]
    for gpu in report.gpus:
        findings += _gpu(gpu)
    if not any(_is_usable(gpu) for gpu in report.gpus):
        fix = "mend the GPUs above, or train on the CPU with use_cpu: true"
        findings.append(Finding(SUBJECT, "problem", "no GPU of this machine answers", fix))
    return [*findings, *_precision(report)]


def _no_gpu(report: GpuReport) -> Finding:
    error = report.error or f"{NO_GPU}."
    if error.startswith(NO_GPU):
        fix = "train on the CPU (fttui demo does), or install NVIDIA's driver if there is a card"
        return Finding(SUBJECT, "warning", error, fix)
    # There is a driver, so that somebody means to train on it.
    fix = "have the driver mended (nvidia-smi tells the same), or train on the CPU with use_cpu: true"
    return Finding(SUBJECT, "problem", error, fix)


def _driver() -> Finding:
    nvml, _ = open_nvml()
    version = ask({}, "driver", nvml.nvmlSystemGetDriverVersion) or "of unknown version"
    cuda = read_driver_cuda()
    knows = f", knows CUDA up to {cuda[0]}.{cuda[1]}" if cuda else ""
    return Finding("driver", "ok", f"NVIDIA driver {version}{knows}")


def _gpu(gpu: Gpu) -> list[Finding]:
    subject = f"GPU {gpu.index}"
    if not _is_usable(gpu):
        reason = gpu.trouble or "it does not answer"
        fix = "leave it out with run.gpus; nvidia-smi -r, or a reboot, brings most back"
        return [Finding(subject, "warning", f"{gpu.name}: {reason}", fix)]
    memory = "" if gpu.memory_total_bytes is None else f", {gpu.memory_total_bytes / GIB:.0f} GiB"
    generation = ""
    if gpu.compute_capability:
        major, minor = gpu.compute_capability
        generation = f", {rules_for(gpu.compute_capability).name} {major}.{minor}"
    findings = [Finding(subject, "ok", f"{gpu.name}{memory}{generation}{_in_use(gpu)}")]
    if gpu.detail and gpu.detail.memory_trouble:
        text, _, fix = gpu.detail.memory_trouble.partition(": ")
        findings.append(Finding(subject, "warning", text, fix))
    if gpu.detail and gpu.detail.is_in_narrow_slot:
        slow = gpu.detail.slow
        text = f"has {slow.pcie_width} of its {slow.pcie_width_max} PCIe lanes: loading and several GPUs take longer"
        findings.append(Finding(subject, "note", text, "put it in another slot, or seat its riser anew"))
    if gpu.instances:
        text = f"MIG has cut it into {len(gpu.instances)} instances; a run sees one of them at the most"
        findings.append(Finding(subject, "note", text, "sudo nvidia-smi -mig 0 makes it one GPU again"))
    if serious := next((xid for xid in reversed(gpu.xids) if xid.is_serious), None):
        text, _, fix = serious.text.rpartition(": ")
        findings.append(Finding(subject, "warning", f"the driver has reported {text}", fix))
    return findings


def _in_use(gpu: Gpu) -> str:
    if not gpu.processes:
        return ""
    free = "" if gpu.memory_free_bytes is None else f", {gpu.memory_free_bytes / GIB:.0f} GiB free"
    return f" (in use by {len(gpu.processes)} process{'es' if len(gpu.processes) > 1 else ''}{free})"


def _is_usable(gpu: Gpu) -> bool:
    return gpu.answers and not gpu.trouble


def _precision(report: GpuReport) -> list[Finding]:
    usable = [gpu.compute_capability for gpu in report.gpus if _is_usable(gpu) and gpu.compute_capability]
    if not usable:
        return []
    best = best_precision(usable)
    if best == "bf16":
        return [Finding("precision", "ok", "bf16 on all GPUs")]
    text = "fp16 but no bf16 (before Ampere)" if best == "fp16" else "neither bf16 nor fast fp16 on all GPUs"
    fix = (
        "use fp16: true"
        if best == "fp16"
        else "leave bf16 and fp16 out; quantization_bit: 4 saves the memory"
    )
    return [Finding("precision", "note", text, f"{fix}; profiles are fitted by themselves")]
