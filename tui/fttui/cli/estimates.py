"""``fttui estimates``: how far memory predictions have been off on this machine."""

import json
from argparse import Namespace

from fttui_engine.errors import ExitCode
from fttui_engine.runs.logs import one_line
from fttui_engine.runs.memory import ENOUGH, Correction, all_records, corrections


def run(args: Namespace) -> int:
    """Print the error so far for each kind of device."""
    records = all_records()
    found = corrections(records)
    if args.json:
        measured = [record._asdict() for record in records if record.measured_bytes is not None]
        print(json.dumps({"devices": [entry._asdict() for entry in found], "runs": measured}, indent=1))
        return ExitCode.DONE
    if not found:
        print("No measured run yet: each run records what it took when its training ends.")
        return ExitCode.DONE
    for entry in found:
        print(one_line(_line(entry)))
    print("Measured peak against prediction, for the longest examples of each run's own data.")
    return ExitCode.DONE


def _line(entry: Correction) -> str:
    count = "1 measurement" if entry.measured == 1 else f"{entry.measured} measurements"
    few = "" if entry.measured >= ENOUGH else f" (check corrects from {ENOUGH} on)"
    spread = f"from {entry.least - 1:+.1%} to {entry.most - 1:+.1%}"
    return f"{entry.device}: {count}, median {entry.median - 1:+.1%}, {spread}{few}"
