"""Everything about a new run on one page: the verdict, the batch, steps and time, the disk, the file."""

import json
import time
from collections.abc import Mapping
from typing import Any

from fttui import figures
from fttui.lines import Line, Role, Span, fit, line, wrap
from fttui.widgets.verdict import verdict_lines
from fttui.wizard.draft import Draft, Look
from fttui.wizard.memory_texts import memory_texts
from fttui.wizard.wish import Judgement
from fttui_engine.runs.logs import one_line

LABEL_WIDTH = 10


def review_lines(
    draft: Draft, width: int, probing_since: float | None, disk_free_bytes: int | None
) -> list[Line]:
    """Return the page."""
    judged = draft.judged
    if judged is None:
        return [line(Span(" checking ...", "dim"))]
    if judged.resolved is None or judged.report is None:
        return _fact("error", judged.trouble, width, "bad")
    lines = verdict_lines({**judged.report, "memory": {}}, width)[1:]
    if judged.ok and judged.resolved.run.command is None:
        lines += _training_lines(draft, judged.resolved.values, width)
        for text, role in memory_texts(judged, with_terms=False):
            lines += _fact("memory", text.removeprefix("memory: "), width, role)
    lines += _disk_lines(judged, width, disk_free_bytes)
    lines += _probe_lines(draft, width, probing_since)
    lines += _fact("command", draft.wish.command(), width, "accent")
    return [*lines, line(""), *_value_lines(judged)]


def _training_lines(draft: Draft, values: Mapping[str, Any], width: int) -> list[Line]:
    judged = draft.judged
    processes = max(1, judged.resolved.run.process_count) if judged and judged.resolved else 1
    each, summed = values["per_device_train_batch_size"], int(values["gradient_accumulation_steps"])
    batch = f"{each * summed * processes} examples per step: {each} x {summed} summed up"
    batch += f" x {processes} processes" if processes > 1 else ""
    lines = _fact("batch", batch, width)
    steps, text = steps_of(values, draft.looked)
    lines += _fact("steps", text, width, "plain" if steps else "dim")
    if steps and draft.step_seconds:
        seconds, run_id = draft.step_seconds
        about = f"about {figures.duration(steps * seconds)}, at {seconds:.2g} s per step as in run {run_id}"
        return lines + _fact("time", about, width)
    return lines + _fact(
        "time", "not known: no run like this one was measured on this machine yet", width, "dim"
    )


def steps_of(values: Mapping[str, Any], look: Look | None) -> tuple[int | None, str]:
    """Return how many steps there will be, as far as it is known, and that in words."""
    fixed = values.get("max_steps") or 0
    report = look.report if look and look.limit is None else None
    if report:
        steps = report["steps"]
        epochs = f"{steps['steps_per_epoch']} per epoch, {steps['epochs']:g} epochs"
        return steps["steps"], f"{steps['steps']}: {steps['examples']} examples, {epochs}"
    if fixed > 0:
        return fixed, f"{fixed} (max_steps)"
    return (
        None,
        f"{values.get('num_train_epochs', 0):g} epochs; how many steps that is, a look at all the data tells",
    )


def _disk_lines(judged: Judgement, width: int, free_bytes: int | None) -> list[Line]:
    memory = (judged.report or {}).get("memory") or {}
    needed = memory.get("disk_bytes") or memory.get("checkpoint_bytes")
    if not needed:
        return []
    what = "the run" if memory.get("disk_bytes") else "each checkpoint"
    text = f"{what} takes {figures.memory(needed)}, {figures.memory(free_bytes)} are free"
    return _fact("disk", text, width, "bad" if free_bytes is not None and needed > free_bytes else "plain")


def _probe_lines(draft: Draft, width: int, probing_since: float | None) -> list[Line]:
    if probing_since is not None:
        seconds = figures.duration(time.time() - probing_since)
        return _fact(
            "dry run", f"three steps on the longest examples ... {seconds} (esc cancels)", width, "accent"
        )
    probe = draft.probe
    if probe is None or probe.measured_bytes is None:
        return _fact(
            "dry run", "d trains three steps on the longest examples, and keeps nothing", width, "dim"
        )
    text = (
        f"three steps on the longest examples ({probe.longest_tokens} tokens) took {figures.memory(probe.measured_bytes)} "
        f"on {one_line(probe.device)}, where {figures.memory(probe.predicted_bytes)} were predicted for these"
    )
    return _fact("dry run", text, width, "good")


def _value_lines(judged: Judgement) -> list[Line]:
    """The values that are not the default, each with where it comes from."""
    if judged.resolved is None:
        return []
    origins, report = judged.resolved.origins, judged.report or {}
    shown = []
    for key, value in flat(report.get("resolved") or {}).items():
        origin = origins.get(key, "default")
        if not origin.startswith("default"):
            text = f" {fit(key, 32)} {one_line(json.dumps(value, ensure_ascii=False, default=str))}"
            shown.append(line(text, Span(f"   {one_line(origin)}", "dim")))
    return shown


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested values under dotted names; a table of environment variables stays one."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping) and f"{prefix}{key}" in ("run", "run.restart"):
            found |= flat(value, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = value
    return found


def _fact(label: str, text: str, width: int, role: Role = "plain") -> list[Line]:
    rows = wrap(one_line(text), max(8, width - LABEL_WIDTH - 2), role)
    return [
        line(Span(f" {fit(label if not place else '', LABEL_WIDTH)}", "dim"), *row)
        for place, row in enumerate(rows)
    ]
