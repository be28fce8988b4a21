"""What a text amounts to: fields, findings, memory and disk; pure Python, milliseconds, in a thread of its own."""

from pathlib import Path
from threading import Event, Thread
from typing import TYPE_CHECKING, NamedTuple

from fttui.editor.edits import NotEditableError, written_entries
from fttui.editor.fields import Field, Layers, Remark, make_fields
from fttui_engine.errors import FttuiError
from fttui_engine.spec.document import parse_node
from fttui_engine.spec.findings import Findings
from fttui_engine.spec.layers import Entry, file_entries, merge
from fttui_engine.spec.nodes import DocumentError, Scalar

if TYPE_CHECKING:
    from collections.abc import Callable

    from fttui_engine.spec.check import CheckReport
    from fttui_engine.spec.resolved import Resolved

EMPTY_TEXT = "run:\n"
"""What is judged in place of nothing, which would only be called nothing: so each key that is missing is named."""
PAUSE_SECONDS = 0.12
"""The text is judged once nobody has typed for so long: letters of a word come at twice that pace."""


class Question(NamedTuple):
    """A text to judge, the file that it belongs to, as it was saved, and the profile below it."""

    number: int
    text: str
    saved: str
    name: str
    profile: str


class Judgement(NamedTuple):
    """What is to be said of a text."""

    question: Question
    fields: tuple[Field, ...] = ()
    report: "CheckReport | None" = None
    remarks: tuple[Remark, ...] = ()
    """All errors and warnings, those of the text in the order of its lines."""
    problem: Remark | None = None
    """Why the text is no configuration at all."""

    @property
    def resolved(self) -> "Resolved | None":
        """The configuration, to start a run from."""
        return self.report.resolved if self.report else None

    def count(self, severity: str) -> int:
        """Return how many remarks there are of a kind."""
        return sum(1 for remark in self.remarks if remark.severity == severity)


def judge(question: Question) -> Judgement:
    """Judge a text; raises nothing: what is wrong is what it returns."""
    from fttui_engine.spec.check import check
    from fttui_engine.spec.load import resolve

    file_layer = f"file {question.name}"
    is_empty = says_nothing(question.text)
    try:
        resolved = resolve(
            None if is_empty and question.profile else Path(question.name),
            profile=question.profile or None,
            text=EMPTY_TEXT if is_empty else question.text,
        )
        report = check(resolved)
    except FttuiError as error:
        problem = Remark("error", f"{error.message} {error.hint}".strip())
        return Judgement(question, problem=problem, remarks=(problem,))
    findings = resolved.findings
    broken = next((each for each in findings.errors if not each.key and each.layer == file_layer), None)
    problem_found = Remark("error", broken.message, broken.line) if broken and not is_empty else None
    layers = Layers(_profile_entries(question.profile), _entries(question.text), _entries(question.saved))
    remarks = [
        *(
            Remark("error", each.message, each.line if each.layer == file_layer else None)
            for each in findings.errors
        ),
        *(
            Remark("warning", each.message, each.line if each.layer == file_layer else None)
            for each in findings.warnings
        ),
    ]
    fields = () if problem_found else make_fields(resolved, layers, file_layer)
    return Judgement(question, fields, report, tuple(remarks), problem_found)


def says_nothing(text: str) -> bool:
    """Return whether a text is empty or has comments only."""
    try:
        node = parse_node(text)
    except DocumentError:
        return False
    return node is None or (isinstance(node, Scalar) and node.is_null)


def _entries(text: str) -> dict[str, Entry]:
    try:
        return written_entries(text)
    except (NotEditableError, DocumentError):
        return {}


def _profile_entries(name: str) -> dict[str, Entry]:
    if not name:
        return {}
    from fttui_engine.spec.profiles import load_profile

    findings = Findings()
    path = load_profile(name).path
    return merge([file_entries(path, f"profile {name}", findings)], findings)


class Judge:
    """Judges the newest text in a thread, and does ``beside`` in another: keeping the draft, looking at the file.

    Two threads, because a judgement asks the driver for free memory, which a GPU that hangs holds up for seconds.
    """

    def __init__(
        self,
        judged: "Callable[[Judgement], object]",
        beside: "Callable[[Question | None], object]",
        seconds: float,
    ) -> None:
        self._judged, self._beside, self._seconds = judged, beside, seconds
        self._newest: Question | None = None
        self._at_once = False
        self._closed, self._to_judge, self._to_keep = Event(), Event(), Event()
        for name, work in (("judge", self._judge), ("draft", self._stand_beside)):
            Thread(target=work, daemon=True, name=f"fttui-editor-{name}").start()

    def ask(self, question: Question, *, at_once: bool = False) -> None:
        """Judge this text next, in place of one that still waits; ``at_once`` where nobody is typing."""
        self._newest, self._at_once = question, at_once
        self._to_judge.set()
        self._to_keep.set()

    def close(self) -> None:
        """End the threads at their next step."""
        self._closed.set()
        self._to_judge.set()
        self._to_keep.set()

    def _judge(self) -> None:
        while self._is_asked(self._to_judge, None):
            if question := self._newest:
                self._judged(judge(question))

    def _stand_beside(self) -> None:
        before: Question | None = None
        while self._is_asked(self._to_keep, self._seconds):
            question = self._newest
            self._beside(question if question is not before else None)
            before = question

    def _is_asked(self, event: Event, seconds: float | None) -> bool:
        """Wait until something is asked and nobody types any more, at most so long; False at the end."""
        event.wait(seconds)
        while event.is_set() and not self._closed.is_set():
            event.clear()
            self._closed.wait(0 if self._at_once else PAUSE_SECONDS)
        return not self._closed.is_set()
