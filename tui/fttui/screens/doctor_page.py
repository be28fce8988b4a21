"""The doctor: what of this machine would stand in the way of training, filled in as the answers come."""

from typing import ClassVar, Final

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.message import Message

from fttui.keys import bindings
from fttui.lines import Line, Role, Span, fit, line, wrap
from fttui.poller import Poller
from fttui.screens.run_screen import CockpitScreen
from fttui.snapshot import Snapshot
from fttui.terminal_findings import look_at_terminal
from fttui.widgets.key_line import KeyLine
from fttui.widgets.scroll_list import ScrollList
from fttui_engine.doctor.checks import all_checks
from fttui_engine.doctor.examination import Examination
from fttui_engine.doctor.finding import Check, Finding, Health, Level, health
from fttui_engine.runs.logs import one_line

LOOK_SECONDS = 0.2
SUBJECT_CELLS = 14
SIGNS: Final[dict[Level, tuple[str, Role]]] = {
    "ok": (" ok ", "good"),
    "note": ("note", "dim"),
    "warning": ("WARN", "warn"),
    "problem": ("FAIL", "bad"),
}
VERDICTS = {
    Health.WELL: "nothing stands in the way",
    Health.WARNINGS: "training works, some things may bite",
    Health.CANNOT_TRAIN: "something prevents training",
}

Picture = tuple[tuple[Finding, ...], tuple[str, ...]]
"""What was found, and what is still looked at."""


class FindingsGathered(Message):
    """Some checks have ended."""

    def __init__(self, picture: Picture) -> None:
        super().__init__()
        self.picture = picture

    def can_replace(self, message: Message) -> bool:
        """The later one has all that the earlier one had."""
        return isinstance(message, FindingsGathered)


class DoctorPage(CockpitScreen):
    """Shows what the checks find; they run in threads of their own, and what hangs holds up nothing."""

    SCOPE = "doctor"
    STAYS_WITHOUT_RUN = True
    AUTO_FOCUS = ""
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("doctor")]

    def __init__(self) -> None:
        super().__init__()
        self._list = ScrollList(id="page-list")
        self._keys = KeyLine("doctor")
        self._poller: Poller[Picture] | None = None
        self._examination: Examination | None = None
        self._picture: Picture = ((), ("all",))

    def compose(self) -> ComposeResult:
        """Lay out list and keys."""
        yield self._list
        yield self._keys

    def on_mount(self) -> None:
        """Begin."""
        self.action_examine()

    def on_unmount(self) -> None:
        """Give up what is still looked at."""
        self._give_up()

    def action_examine(self) -> None:
        """Look at everything, or do so again."""
        self._give_up()
        self._examination = examination = Examination([*all_checks(), Check("terminal", look_at_terminal)])

        def look() -> Picture:
            return examination.findings(), examination.pending()

        self._picture = ((), ("all",))
        self._draw()
        self._poller = Poller(
            "doctor", look, lambda picture: self.post_message(FindingsGathered(picture)), LOOK_SECONDS
        )

    def _give_up(self) -> None:
        if self._poller:
            self._poller.close()
        if self._examination:
            self._examination.close()

    def on_findings_gathered(self, event: FindingsGathered) -> None:
        """Show them; once nothing is looked at any more, nobody needs to ask."""
        self._picture = event.picture
        if self._poller and not event.picture[1]:
            self._poller.close()
        self._draw()

    def show(self, snapshot: Snapshot) -> None:
        """Nothing here comes from a snapshot."""
        self._keys.show(())

    def _draw(self) -> None:
        findings, pending = self._picture
        verdict = VERDICTS[health(findings)]
        self._list.show(
            "Doctor",
            lambda width: [one for each in findings for one in finding_lines(each, width)],
            remark=f"looking at {', '.join(pending)} ..." if pending else verdict,
            empty="looking ...",
        )

    def action_scroll(self, rows: int) -> None:
        """Scroll by lines."""
        self._list.move(rows)

    def action_scroll_page(self, pages: int) -> None:
        """Scroll by pages."""
        self._list.move_pages(pages)


def finding_lines(finding: Finding, width: int) -> list[Line]:
    """Return a finding: its sign and subject, its text, and below it what to do."""
    sign, role = SIGNS[finding.level]
    indent = 6 + SUBJECT_CELLS + 1
    body = wrap(one_line(finding.text), width - indent - 1)
    lines = [
        line(
            Span(f" {sign} " if at == 0 else " " * 6, role),
            Span(fit(finding.subject if at == 0 else "", SUBJECT_CELLS + 1), "dim"),
            *one,
        )
        for at, one in enumerate(body)
    ]
    fix = wrap(one_line(finding.fix), width - indent - 4, "accent")
    lines += [
        line(Span(" " * indent + ("-> " if at == 0 else "   "), "dim"), *one) for at, one in enumerate(fix)
    ]
    return lines
