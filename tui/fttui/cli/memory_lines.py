"""What ``fttui check`` says of memory: the prediction, what was measured so far, and what to change."""

from typing import Any, NamedTuple

from fttui_engine.runs.memory import CPU, ENOUGH, Correction, MemoryRecord, all_records, corrections
from fttui_engine.spec.memory.report import MemoryReport
from fttui_engine.spec.memory.words import TERM_WORDS, change_text, gibibytes


class Experience(NamedTuple):
    """What was measured beside a prediction: earlier runs on this device, and a probe of this configuration."""

    correction: Correction | None = None
    probe: MemoryRecord | None = None

    def to_json(self, memory: MemoryReport) -> dict[str, Any]:
        """What ``fttui check --json`` adds to ``memory``."""
        correction, probe = self.correction, self.probe
        corrected = self.corrected_bytes(memory)
        return {
            "correction": correction and {**correction._asdict(), "corrected_bytes": corrected},
            "probe": probe and {**probe._asdict(), "ratio": probe.ratio},
        }

    def corrected_bytes(self, memory: MemoryReport) -> int | None:
        """The prediction times the median of what was measured; None where there is too little of that."""
        if memory.prediction is None or self.correction is None:
            return None
        return round(memory.prediction.predicted_bytes * self.correction.median)


def experience_with(memory: MemoryReport, probe: MemoryRecord | None) -> Experience:
    """What this machine has measured on the device of a run."""
    if memory.prediction is None:
        return Experience(probe=probe)
    device = CPU if "libraries" in memory.prediction.terms else memory.gpus[0].name if memory.gpus else None
    found = [entry for entry in corrections(all_records()) if entry.device == device]
    return Experience(found[0] if found and found[0].measured >= ENOUGH else None, probe)


def memory_lines(memory: MemoryReport, experience: Experience) -> list[str]:
    """The prediction as a small table, the verdict, and what to change."""
    if memory.prediction is None:
        return [f"memory: {memory.reason}"] if memory.reason else []
    on_cpu = "libraries" in memory.prediction.terms
    total = gibibytes(memory.prediction.predicted_bytes)
    where = "on each GPU"
    if on_cpu:
        together = memory.host_bytes or 0
        is_one = together <= memory.prediction.predicted_bytes
        where = "on this host" if is_one else f"in each process, {gibibytes(together)} on this host"
    lines = [f"memory: {total} {where}, at the {memory.prediction.moment}:"]
    terms = sorted(memory.prediction.terms.items(), key=lambda term: -term[1])
    lines += [f"  {gibibytes(size):>10}  {TERM_WORDS[name]}" for name, size in terms]
    lines.append(f"  {_disk(memory)}")
    lines += _experience_lines(memory, experience)
    if memory.explanation:
        lines.append(f"memory: {memory.explanation}")
    elif memory.reason:
        lines.append(f"memory: whether it fits is not known. {memory.reason}")
    for advice in memory.advice:
        answer = "may just fit" if advice.is_tight else "fits" if advice.fits else "does not fit by itself"
        size = gibibytes(advice.predicted_bytes)
        lines.append(f"advice: {change_text(advice.changes)} -> {size}, {answer}; {advice.cost}")
    return lines


def _experience_lines(memory: MemoryReport, experience: Experience) -> list[str]:
    lines = []
    if (correction := experience.correction) is not None:
        lines.append(
            f"memory: {correction.measured} measurements on {correction.device} were {correction.median - 1:+.0%} off in "
            f"the middle ({correction.least - 1:+.0%} to {correction.most - 1:+.0%}): rather "
            f"{gibibytes(experience.corrected_bytes(memory) or 0)}."
        )
    probe = experience.probe
    if probe is not None and probe.ratio is not None:
        lines.append(
            f"probe: 3 steps on the longest examples ({probe.longest_tokens} tokens) took "
            f"{gibibytes(probe.measured_bytes or 0)} on {probe.device}, where {gibibytes(probe.predicted_bytes)} are "
            f"predicted for these ({probe.ratio - 1:+.1%})."
        )
    return lines


def _disk(memory: MemoryReport) -> str:
    each = f"a checkpoint takes {gibibytes(memory.checkpoint_bytes or 0)} of disk"
    if memory.disk_bytes is None:
        return f"{each}; how many there will be depends on the data (set save_total_limit)"
    return f"{each}, the run {gibibytes(memory.disk_bytes)}"
