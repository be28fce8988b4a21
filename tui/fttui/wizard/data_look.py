"""A look at the data, from the wish for it to its end, in a thread that waits for the engine's process."""

import time
from collections.abc import Callable
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING

from fttui.wizard.draft import Look, about_data
from fttui_engine.errors import FttuiError

if TYPE_CHECKING:
    from fttui_engine.launch.data_report import DataLook
    from fttui_engine.spec.resolved import Resolved

EXAMPLES = 12
FIRST_RECORDS = 2000
SMALL_BYTES = 8 << 20
"""Files below are read to their end at once: 8 MiB take seconds (50,000 records of 31 MB take 27 s of CPU)."""


class Looker:
    """Looks at data, one look at a time; the process ends with this program at the latest."""

    def __init__(self, tell: Callable[[Look], None]) -> None:
        self._tell = tell
        self._process: DataLook | None = None
        self._number = 0

    def begin(self, resolved: "Resolved", *, all_records: bool) -> Look:
        """Begin to look in a thread, which tells of the end; one under way is given up."""
        self.cancel()
        limited, limit = _limited(resolved, all_records=all_records)
        look = Look(about_data(resolved), limit, time.time())
        number = self._number
        Thread(target=self._look, args=(number, look, limited), daemon=True, name="fttui-look").start()
        return look

    def cancel(self) -> None:
        """Give up the look that is under way."""
        self._number += 1
        if self._process:
            self._process.cancel()

    def _look(self, number: int, look: Look, resolved: "Resolved") -> None:
        from dataclasses import replace

        from fttui_engine.launch.data_report import DataLook

        try:
            process = self._process = DataLook(resolved, EXAMPLES)
            if number != self._number:
                process.cancel()
            report = process.report()
        except FttuiError as error:
            hint = f" ({error.hint})" if error.hint else ""
            ended = replace(look, trouble=f"{error.message}{hint}")
        else:
            if report is None:
                return
            ended = replace(look, report=report)
        if number == self._number:
            self._tell(ended)


def _limited(resolved: "Resolved", *, all_records: bool) -> tuple["Resolved", int | None]:
    """Return the configuration for a quick look, and how many records that is; None is all that the run will read."""
    asked = resolved.values.get("max_samples")
    if all_records or _is_small(resolved) or (asked is not None and asked <= FIRST_RECORDS):
        return resolved, None
    return resolved.with_value("max_samples", FIRST_RECORDS, "look"), FIRST_RECORDS


def _is_small(resolved: "Resolved") -> bool:
    values = resolved.values
    names = [*(values.get("dataset") or ()), *(values.get("eval_dataset") or ())]
    try:
        sizes = [0 if name.startswith("demo:") else Path(name).stat().st_size for name in names]
    except OSError:
        # A name of dataset_info.json or of the hub: not worth finding out for a look.
        return False
    folders = any(Path(name).is_dir() for name in names)
    return not folders and sum(sizes) <= SMALL_BYTES
