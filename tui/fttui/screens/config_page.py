"""The configuration of a run: every value with the layer that it came from, or what differs from another run's."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from textual.binding import BindingType
from textual.message import Message

from fttui.keys import bindings
from fttui.lines import Line, Role, Span, fit, line, wrap
from fttui.poller import Poller
from fttui.screens.list_page import ListPage
from fttui.screens.pick_runs import PickRuns
from fttui.snapshot import RunDetail, Snapshot
from fttui_engine.errors import FttuiError
from fttui_engine.runs.home import runs_folder
from fttui_engine.runs.logs import one_line
from fttui_engine.runs.run import Run
from fttui_engine.runs.summary import RunSummary

READ_SECONDS = 5.0
KEY_SHARE, ORIGIN_WIDTH = 0.4, 24
NOT_SET = "(not set)"


@dataclass(frozen=True, slots=True)
class Setting:
    """One key with its value, written as YAML would have it, and where it came from."""

    key: str
    value: str
    origin: str


@dataclass(frozen=True, slots=True)
class Settings:
    """The configuration of a run, and of the one that it is compared with."""

    run_id: str = ""
    settings: tuple[Setting, ...] = ()
    other_id: str = ""
    others: tuple[Setting, ...] = ()
    problem: str = ""


class SettingsRead(Message):
    """The thread that reads configurations has one."""

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self.settings = settings


class ConfigPage(ListPage):
    """Shows the configuration of a run."""

    SCOPE = "config"
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("config")]

    def __init__(self) -> None:
        super().__init__()
        self._wanted: tuple[str, str] = ("", "")
        self._settings = Settings()
        self._only_changed = True
        self._poller: Poller[Settings] | None = None

    def on_mount(self) -> None:
        """Begin to read."""
        self._poller = Poller(
            "config", self._look, lambda settings: self.post_message(SettingsRead(settings)), READ_SECONDS
        )

    def on_unmount(self) -> None:
        """End the reading."""
        if self._poller:
            self._poller.close()

    def _look(self) -> Settings:
        run_id, other_id = self._wanted
        folder = runs_folder(self.cockpit.home)
        try:
            settings = read_settings(Run(folder / run_id)) if run_id else ()
            others = read_settings(Run(folder / other_id)) if other_id else ()
        except FttuiError as error:
            return Settings(run_id, problem=one_line(error.message))
        return Settings(run_id, settings, other_id, others)

    def show_run(self, run: RunSummary, detail: RunDetail | None, snapshot: Snapshot) -> None:
        """Say what is to be read."""
        there = {each.id for each in snapshot.runs} - {run.id}
        other = next((each for each in self.cockpit.marked if each in there), "")
        if (run.id, other) != self._wanted:
            self._wanted = (run.id, other)
            if self._poller:
                self._poller.wake()
        self._keys.show(())

    def on_settings_read(self, event: SettingsRead) -> None:
        """Show what was read."""
        self._settings = event.settings
        self._draw()

    def _draw(self) -> None:
        found = self._settings
        if found.other_id:
            title = f"Configuration  {found.run_id} | {found.other_id}"
            remark = "only what differs" if self._only_changed else "all"
        else:
            title = f"Configuration  {found.run_id}"
            remark = "only what is not the default" if self._only_changed else "all"
        rows = settings_rows(found, only_changed=self._only_changed)
        empty = found.problem or ("They do not differ." if found.other_id else "Everything is the default.")
        self._list.show(
            title,
            lambda width: [one for row in rows for one in row_lines(*row, width)],
            remark=remark,
            empty=empty if found.run_id else "reading ...",
        )

    def action_only_changed(self) -> None:
        """Show all, or only what is not the default or differs."""
        self._only_changed = not self._only_changed
        self._draw()

    def action_compare(self) -> None:
        """Choose the run to compare with: the first that is marked."""
        self.app.push_screen(PickRuns())


def read_settings(run: Run) -> tuple[Setting, ...]:
    """Return the configuration of a run; raises FttuiError where its file is damaged."""
    from fttui_engine.spec.check import masked
    from fttui_engine.spec.resolved import read_spec

    resolved = read_spec(run.spec_path)
    values = dict(_flat(masked(resolved.values), ""))
    return tuple(
        Setting(one_line(key), _text(value), one_line(resolved.origins.get(key, "default")))
        for key, value in values.items()
    )


def _flat(values: dict[str, Any], prefix: str) -> Sequence[tuple[str, Any]]:
    pairs: list[tuple[str, Any]] = []
    for key, value in values.items():
        if isinstance(value, dict) and value and not prefix:
            pairs += _flat(value, f"{key}.")
        else:
            pairs.append((prefix + key, value))
    return pairs


def _text(value: Any) -> str:
    return one_line(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))


Row = tuple[str, str, str, Role]
"""Key, value, what stands at the right, and how the value looks."""


def settings_rows(found: Settings, *, only_changed: bool) -> list[Row]:
    """Return the rows to show."""
    if not found.other_id:
        return [
            (each.key, each.value, each.origin, "dim" if each.origin == "default" else "plain")
            for each in found.settings
            if not only_changed or each.origin != "default"
        ]
    mine = {each.key: each.value for each in found.settings}
    theirs = {each.key: each.value for each in found.others}
    rows: list[Row] = []
    for key in dict.fromkeys([*mine, *theirs]):
        value, other = mine.get(key, NOT_SET), theirs.get(key, NOT_SET)
        if value != other or not only_changed:
            rows.append((key, value, other, "plain" if value != other else "dim"))
    return rows


def row_lines(key: str, value: str, right: str, role: Role, width: int) -> list[Line]:
    """Return a row folded to the width."""
    key_width = min(34, max(16, int(width * KEY_SHARE)))
    right_width = max(ORIGIN_WIDTH, (width - key_width) // 2) if width < 100 else (width - key_width) // 2
    right_width = min(right_width, max(0, width - key_width - 12))
    values = wrap(value, max(8, width - key_width - right_width - 3), role) or [line("")]
    rights = wrap(right, max(8, right_width - 1), "dim") or [line("")]
    lines: list[Line] = []
    for index in range(max(len(values), len(rights))):
        left = Span(f" {fit(key if index == 0 else '', key_width)} ", "accent")
        middle = values[index] if index < len(values) else ()
        text = "".join(span.text for span in middle)
        room = max(8, width - key_width - right_width - 3)
        end = rights[index] if index < len(rights) else ()
        lines.append(line(left, Span(fit(text, room), role), " ", *end))
    return lines
