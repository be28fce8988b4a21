"""Runs over several machines: ``fttui nodes start``, ``runs``, ``stop`` and ``resume``."""

import json
import sys
from argparse import Namespace
from pathlib import Path
from typing import Any

from fttui_engine.errors import ExitCode, FttuiError, WrongRequestError
from fttui_engine.nodes.facts import learn
from fttui_engine.nodes.inventory import Machine
from fttui_engine.nodes.preflight import MASTER_PORT, demands_of, preflight
from fttui_engine.nodes.talks import Talks
from fttui_engine.nodes.together import Part, parts, require_free_name, start_parts, tell_all
from fttui_engine.runs.logs import one_line


def start(machines: list[Machine], args: Namespace) -> int:
    """Check, then start on all machines or on none; prints the run's id."""
    from fttui.cli.nodes_words import print_report
    from fttui_engine.launch.start import default_name, require_ok
    from fttui_engine.runs.run import check_name
    from fttui_engine.spec.load import resolve

    if args.config is None:
        raise WrongRequestError("there is nothing to start", "name it with --config CONFIG")
    if len(machines) < 2:
        raise WrongRequestError(
            "a run over several machines has two at least", "fttui start CONFIG is for one"
        )
    resolved = resolve(Path(args.config))
    require_ok(resolved)
    name = check_name(args.name or resolved.run.name or default_name(resolved))
    port = args.port or MASTER_PORT
    with Talks(machines) as talks:
        require_free_name(talks, name)
        report = preflight(talks, demands_of(resolved), port)
        if not report.ok:
            print_report(report)
            return ExitCode.FAILED
        learned = talks.each(learn)
        places = report.files.places
        start_parts(talks, list(learned.values()), resolved, name=name, port=port, places=places)
    print(json.dumps({"id": name, "machines": list(learned)}) if args.json else name)
    return ExitCode.DONE


def runs(machines: list[Machine], args: Namespace) -> int:
    """List the parts of all runs over several machines."""
    with Talks(machines) as talks:
        found = sorted(parts(talks), key=lambda part: part.shown["id"])
        for error in talks.broken.values():
            print(one_line(f"{error.message}"), file=sys.stderr)
    if args.json:
        print(json.dumps([{"machine": part.machine, "run": part.shown} for part in found], indent=1))
    elif not found:
        print("No runs over several machines.")
    else:
        print(f"{'RUN':<20} {'MACHINE':<16} {'STATE':<12} {'STEP':>12}  {'LOSS':<8} WHAT")
        for part in found:
            print(one_line(_row(part)))
    return ExitCode.FAILED if talks.broken else ExitCode.DONE


def stop(machines: list[Machine], args: Namespace) -> int:
    """Let the ranks of a run save at the same step and end, on all machines."""
    return _tell(machines, args, "stop", *(["--now"] if args.now else []))


def resume(machines: list[Machine], args: Namespace) -> int:
    """Go on from the newest checkpoint that all machines have."""
    return _tell(machines, args, "resume")


def _tell(machines: list[Machine], args: Namespace, *words: str) -> int:
    if args.run is None:
        raise WrongRequestError(f"which run is to {words[0]}?", f"fttui nodes {words[0]} --run RUN")
    with Talks(machines) as talks:
        for error in talks.broken.values():
            print(one_line(f"fttui: {error.message}"), file=sys.stderr)
        complaints = tell_all(talks, args.run, *words)
    if complaints:
        told = "; ".join(f"{machine}: {text}" for machine, text in complaints.items())
        raise FttuiError(told, "fttui nodes runs says how they are")
    return ExitCode.FAILED if talks.broken else ExitCode.DONE


def _row(part: Part) -> str:
    shown: dict[str, Any] = part.shown
    step = "" if shown["step"] is None else f"{shown['step']}/{shown['max_steps'] or '?'}"
    loss = f"{shown['loss']:.4g}" if isinstance(shown["loss"], float) else ""
    said = (shown["exit"] or {}).get("message") or shown["detail"] or ""
    return f"{shown['id']:<20} {part.machine:<16} {shown['state']:<12} {step:>12}  {loss:<8} {said}".rstrip()
