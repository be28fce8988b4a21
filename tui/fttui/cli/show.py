"""The reading verbs: ls, show, events, metrics."""

import json
import os
import sys
import time
from argparse import Namespace
from pathlib import Path

from fttui_engine.errors import ExitCode
from fttui_engine.runs.events import read_events
from fttui_engine.runs.files import finite, read_lines
from fttui_engine.runs.home import state_home
from fttui_engine.runs.listing import Listing
from fttui_engine.runs.logs import one_line
from fttui_engine.runs.notices import told_notices
from fttui_engine.runs.run import find_run
from fttui_engine.runs.states import State
from fttui_engine.runs.summary import RunSummary, summarize
from fttui_engine.supervise.adoption import look_after, reconcile

COLUMNS = ("STATE", "RUN", "STEP", "LOSS", "TOK/S", "ETA", "AGE", "")


def list_runs(arguments: Namespace) -> int:
    """Print all runs, the newest first, after adopting those that nobody is in charge of."""
    listing = Listing()
    reconcile(state_home(), listing.unended())
    if arguments.sweep:
        from fttui.cli.queue import members_of

        summaries = members_of(arguments.sweep)
    else:
        summaries = listing.summaries()
    if arguments.json:
        print(json.dumps([summary.to_json() for summary in reversed(summaries)], indent=1))
    else:
        print_table(summaries)
    return ExitCode.DONE


def show(arguments: Namespace) -> int:
    """Print all that is known of one run."""
    run = find_run(arguments.run)
    look_after(run)
    summary = summarize(run)
    if arguments.json:
        print(json.dumps({**summary.to_json(), "notices": told_notices(run.events_path)}, indent=1))
        return ExitCode.DONE
    for name, text in [*_facts(summary), *(("notice", text) for text in told_notices(run.events_path))]:
        if text:
            print(f"{name:<12} {one_line(text)}")
    return ExitCode.DONE


def events(arguments: Namespace) -> int:
    """Print what happened to a run."""
    run = find_run(arguments.run)
    if arguments.json:
        _print_lines(run.events_path)
        return ExitCode.DONE
    for event in read_events(run.events_path):
        print(f"{_clock(event.time)}  {event.attempt:>3}  {one_line(event.message)}")
    return ExitCode.DONE


def metrics(arguments: Namespace) -> int:
    """Print the numbers of a run; redone steps once with ``--json`` as without."""
    from fttui_engine.runs.metrics import read_metrics

    points = read_metrics(find_run(arguments.run).metrics_path)
    if arguments.json:
        for point in points:
            print(json.dumps(finite(point)))
        return ExitCode.DONE
    for point in points:
        print(
            "  ".join(
                f"{key} {_number(value)}" for key, value in point.items() if key not in ("time", "attempt")
            )
        )
    return ExitCode.DONE


def print_table(summaries: list[RunSummary] | None = None) -> None:
    """Print runs, by default all, as a table, the newest first."""
    if summaries is None:
        summaries = Listing().summaries()
    if not summaries:
        print("There are no runs yet. fttui demo starts a first one; fttui start CONFIG one of your own.")
        return
    rows = [COLUMNS, *(_row(summary) for summary in reversed(summaries))]
    widths = [max(len(row[column]) for row in rows) for column in range(len(COLUMNS))]
    columns = _terminal_columns()
    for row in rows:
        line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        print(line if columns is None or len(line) <= columns else f"{line[: columns - 1]}~")


def _terminal_columns() -> int | None:
    """Return how wide the terminal is; a file or a pipe gets lines in full."""
    try:
        return os.get_terminal_size(sys.stdout.fileno()).columns or None
    except (OSError, ValueError):
        return None


def _row(summary: RunSummary) -> tuple[str, ...]:
    return (
        str(summary.state),
        one_line(summary.id),
        _steps(summary),
        _number(summary.loss),
        _number(summary.tokens_per_second),
        duration(summary.eta_seconds),
        duration(time.time() - summary.created_at),
        one_line(_remark(summary)),
    )


def _facts(summary: RunSummary) -> list[tuple[str, str]]:
    sealed = [checkpoint for checkpoint in summary.checkpoints if checkpoint.complete]
    verdict = summary.exit
    return [
        ("run", summary.id),
        ("state", " ".join(filter(None, [summary.state, summary.detail and f"({summary.detail})"]))),
        ("why", verdict.message if verdict else ""),
        ("advice", verdict.advice if verdict else ""),
        ("attempt", str(summary.attempt)),
        ("step", _steps(summary)),
        ("loss", _number(summary.loss)),
        ("tok/s", _number(summary.tokens_per_second)),
        ("left", duration(summary.eta_seconds)),
        ("killed in", duration(summary.stop_deadline and max(0.0, summary.stop_deadline - time.time()))),
        ("created", _clock(summary.created_at)),
        ("ended", _clock(summary.ended_at)),
        ("checkpoints", ", ".join(str(checkpoint.step) for checkpoint in sealed)),
        ("process", str(summary.pid or "")),
        ("gpus", ", ".join(map(str, summary.gpus or ()))),
        ("host", summary.host),
        ("slurm job", summary.slurm_job or ""),
        ("output", str(summary.output_dir)),
        ("log", str(summary.log_path)),
        ("folder", str(summary.run_dir)),
    ]


def _remark(summary: RunSummary) -> str:
    if summary.state is State.STOPPING and summary.stop_deadline:
        otherwise = "if it has not saved" if summary.kind == "train" else "if it is still there"
        return f"killed in {duration(max(0.0, summary.stop_deadline - time.time()))} {otherwise}"
    if summary.state in (State.FAILED, State.INTERRUPTED, State.PARKED) and summary.exit:
        return summary.exit.message
    return summary.detail


def _steps(summary: RunSummary) -> str:
    if summary.step is None:
        return ""
    return f"{summary.step}/{summary.max_steps}" if summary.max_steps else str(summary.step)


def duration(seconds: float | None) -> str:
    """Return a time span as people say it, ``""`` for none."""
    if seconds is None:
        return ""
    whole = int(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}s"
    if whole < 86400:
        return f"{whole // 3600}h{whole % 3600 // 60:02d}m"
    return f"{whole // 86400}d{whole % 86400 // 3600:02d}h"


def _number(value: object) -> str:
    return "" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)


def _clock(moment: float | None) -> str:
    return "" if moment is None else time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(moment))


def _print_lines(path: Path) -> None:
    for line in read_lines(path):
        if line.value is not None:
            print(json.dumps(line.value))
