"""Base and trained model side by side: the same questions, the answers as they are written.

The models live in a process of their own, only while this screen is open; it ends with the screen, and with this program.
"""

import os
import time
from threading import Thread
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Container
from textual.message import Message

from fttui import figures
from fttui.compare.exchanges import BASE, TUNED, Exchange, Exchanges
from fttui.keys import bindings
from fttui.lines import Line, Role, Span, line, spread, wrap
from fttui.screens.run_screen import CockpitScreen
from fttui.widgets.answer_panel import AnswerPanel
from fttui.widgets.key_line import KeyLine
from fttui.widgets.line_panel import LinePanel
from fttui.widgets.prompt import Prompt
from fttui_engine.errors import FttuiError
from fttui_engine.launch.side_by_side import Heard, SideBySide
from fttui_engine.runs.logs import one_line

SIDE_BY_SIDE_WIDTH = 100
"""Below, one answer stands above the other."""
TICK_SECONDS = 1.0
QUESTION_ROWS = 3


class ModelSpoke(Message):
    """The process with the models said something."""

    def __init__(self, heard: Heard, session: int) -> None:
        super().__init__()
        self.heard, self.session = heard, session


class CompareTitle(LinePanel):
    """What is compared, how far it is, and the question that is looked at."""

    DEFAULT_CSS = f"CompareTitle {{ height: {QUESTION_ROWS + 1}; }}"

    def __init__(self) -> None:
        super().__init__()
        self._left, self._right = "", ("", "dim")
        self._question = ""

    def show(self, left: str, status: str, role: Role, question: str) -> None:
        """Show all of it."""
        self._left, self._right, self._question = one_line(left), (one_line(status), role), one_line(question)
        self.redraw()

    def draw(self, width: int, _height: int) -> list[Line]:
        """Return the title and the beginning of the question."""
        text, role = self._right
        head = spread(line(Span(f" {self._left}", "strong")), line(Span(f"{text} ", role)), width)  # type: ignore[arg-type]
        rows = wrap(self._question, width - 2, "accent")
        if len(rows) > QUESTION_ROWS:
            rows = [*rows[: QUESTION_ROWS - 1], line(*rows[QUESTION_ROWS - 1], Span(" ...", "dim"))]
        return [head, *(line(" ", *row) for row in rows)]


class ComparePage(CockpitScreen):
    """Asks both models what is typed, and keeps what they said until it is left."""

    SCOPE = "compare"
    STAYS_WITHOUT_RUN = True
    AUTO_FOCUS = ""
    DEFAULT_CSS = """
    ComparePage #answers { layout: vertical; height: 1fr; }
    ComparePage #answers.-beside { layout: horizontal; }
    ComparePage AnswerPanel { width: 1fr; height: 1fr; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("compare")]

    def __init__(self, run_id: str, step: int | None = None) -> None:
        super().__init__()
        self._run_id, self._checkpoint = run_id, step
        self._title = CompareTitle()
        self._panels = {BASE: AnswerPanel(id="base"), TUNED: AnswerPanel(id="tuned")}
        self._prompt = Prompt()
        self._key_line = KeyLine("compare")
        self._exchanges = Exchanges()
        self._names = {BASE: "Base", TUNED: "Trained"}
        self._session: SideBySide | None = None
        self._session_number = 0
        self._asked: int | None = None
        self._status: tuple[str, Role] = ("", "dim")
        self._loading, self._began_at = "looking for what was saved", time.time()
        self._is_ready = False
        self._is_closed = False
        self._on_cpu = False

    def compose(self) -> ComposeResult:
        """Lay out title, answers and keys."""
        yield self._title
        with Container(id="answers"):
            yield from self._panels.values()
        yield self._prompt
        yield self._key_line

    def on_mount(self) -> None:
        """Begin to load, and let the first question be typed meanwhile."""
        self._begin(cpu=False)
        self.set_interval(TICK_SECONDS, self._tick)
        self.call_after_refresh(self._show_all)
        self.call_after_refresh(self.action_ask)

    def on_unmount(self) -> None:
        """Let the models go."""
        self._is_closed = True
        self._end_session()

    def on_resize(self) -> None:
        """Put the answers beside each other where there is room."""
        self.query_one("#answers").set_class(self.app.size.width >= SIDE_BY_SIDE_WIDTH, "-beside")
        self.call_after_refresh(self._show_all)

    # The process

    def _begin(self, *, cpu: bool) -> None:
        self._session_number += 1
        number = self._session_number
        self._is_ready, self._asked, self._on_cpu = False, None, cpu
        self._exchanges.forget_unfinished()
        self._loading, self._began_at = "looking for what was saved", time.time()

        def begin() -> None:
            from fttui_engine.launch.inference import find_target

            def hear(heard: Heard) -> None:
                self._post(ModelSpoke(heard, number))

            try:
                target = find_target(self._run_id, step=self._checkpoint)
                base = str(target.values.get("model_name_or_path"))
                hear(Heard("found", {"label": target.label, "base": base}))
                session = SideBySide(target, hear, cpu=cpu)
            except FttuiError as error:
                hear(Heard("trouble", {"message": error.message, "advice": error.hint, "is_final": True}))
                return
            self._session = session
            if self._is_closed or number != self._session_number:
                session.close()

        Thread(target=begin, daemon=True, name="fttui-compare").start()

    def _end_session(self) -> None:
        if session := self._session:
            self._session = None
            # A thread of its own that quitting waits for: it takes milliseconds, and nothing may be left behind.
            Thread(target=session.close, name="fttui-compare-end").start()

    def _post(self, message: Message) -> None:
        try:
            self.post_message(message)
        except RuntimeError:
            # The program has ended meanwhile; there is nobody to tell.
            return

    def on_model_spoke(self, event: ModelSpoke) -> None:
        """Take in what the process said."""
        if event.session != self._session_number:
            return
        values = event.heard.values
        match event.heard.event:
            case "found":
                self._names = {
                    BASE: f"Base  {one_line(values['base'])}",
                    TUNED: f"Trained  {one_line(values['label'])}",
                }
            case "loading":
                self._loading = one_line(values["what"])
            case "ready":
                self._is_ready, self._loading = True, ""
                self._status = (f"ready on {one_line(values['device'])}", "good")
                self._ask_next()
            case "questions":
                for text in values["texts"]:
                    self._exchanges.add(one_line(text) if "\n" not in text else text)
                self._exchanges.at = self._asked if self._asked is not None else self._exchanges.waiting or 0
                self._ask_next()
            case "trouble":
                self._say_trouble(values)
            case "gone":
                self._say_end(values)
            case _:
                self._exchanges.hear(event.heard)
                self._go_on()
        self._show_all()

    def _say_trouble(self, values: dict[str, object]) -> None:
        text = one_line(f"{values['message']} {values['advice'] or ''}".strip())
        if values["is_final"]:
            self._loading, self._status = "", ("not loaded", "bad")
        if self._asked is not None and not values["is_final"]:
            self._exchanges.all[self._asked].trouble = text
        self.cockpit.tell(text, "error")

    def _say_end(self, values: dict[str, object]) -> None:
        self._session, self._is_ready, self._asked = None, False, None
        if self._status[0] != "not loaded":
            self.cockpit.tell(f"The process with the models ended: {values['message']}", "error")
        self._loading, self._status = "", ("not loaded", "bad")

    def _go_on(self) -> None:
        if self._asked is not None and self._exchanges.all[self._asked].is_done:
            self._asked = None
            self._ask_next()

    def _ask_next(self) -> None:
        waiting = self._exchanges.waiting
        if self._asked is not None or waiting is None or not self._is_ready or not self._session:
            return
        if self._exchanges.shown and self._exchanges.shown.is_done:
            self._exchanges.at = waiting
        self._asked = waiting
        self._session.ask(waiting, self._exchanges.all[waiting].question)

    # What is shown

    def _tick(self) -> None:
        if self._loading:
            self._show_title()

    def _show_title(self) -> None:
        exchange = self._exchanges.shown
        status, role = self._status
        if self._loading:
            status, role = (
                f"loading {self._loading} ... {figures.duration(time.time() - self._began_at)}",
                "accent",
            )
        elif self._asked is not None:
            left = sum(not each.is_done for each in self._exchanges.all)
            status, role = f"writing, {left} to answer" if left > 1 else "writing", "accent"
        count = len(self._exchanges.all)
        of = f"  question {self._exchanges.at + 1} of {count}" if count else ""
        self._title.show(f"{self._run_id}{of}", status, role, exchange.question if exchange else "")

    def _show_all(self) -> None:
        self._show_title()
        exchange = self._exchanges.shown
        for name, panel in self._panels.items():
            if exchange is None:
                panel.show(self._names[name], "", role="dim")
            else:
                panel.show(
                    self._names[name],
                    _text(exchange, name),
                    remark=_remark(exchange, name, self._asked is not None)
                    if self._is_ready or self._loading or exchange.is_done
                    else "not answered",
                )
        self._key_line.show(
            frozenset() if self._exchanges.all else frozenset({"compare-next", "compare-before"})
        )

    # Keys

    def action_ask(self) -> None:
        """Let a question be typed."""
        self._prompt.ask("question", " Ask both:", "", in_place_of=self._key_line)

    def action_file(self) -> None:
        """Let a file of questions be named."""
        if not self._is_ready:
            again = "yet" if self._loading else "any more; the next question loads them again"
            self.cockpit.tell(f"The models are not loaded {again}.", "warning")
            return
        self._prompt.ask(
            "file", " File with a question per line, or a data file:", "", in_place_of=self._key_line
        )

    def on_prompt_answered(self, event: Prompt.Answered) -> None:
        """Ask what was typed."""
        text = event.text.strip()
        self._prompt.close()
        if not text:
            return
        if event.about == "file":
            if self._session:
                self._session.read(os.path.expanduser(text))
            return
        self._exchanges.add(text)
        self._begin_reading()
        if not self._is_ready and not self._loading:
            self._begin(cpu=self._on_cpu)
        self._ask_next()
        self._show_all()

    def _begin_reading(self) -> None:
        exchange = self._exchanges.shown
        for panel in self._panels.values():
            panel.begin(at_end=bool(exchange and not exchange.is_done))

    def action_turn(self, by: int) -> None:
        """Look at another question."""
        self._exchanges.turn(by)
        self._begin_reading()
        self._show_all()

    def action_scroll(self, lines: int) -> None:
        """Scroll both answers."""
        for panel in self._panels.values():
            panel.scroll_lines(lines)

    def action_stop(self) -> None:
        """End what is being written; what waits is not asked."""
        if self._session and self._asked is not None:
            self._exchanges.drop_unasked(self._asked)
            self._session.stop()
        else:
            self.cockpit.tell("Nothing is being written.", "warning")
        self._show_all()

    def action_save(self) -> None:
        """Write what was answered to a file in the present folder."""
        lines = self._exchanges.json_lines()
        if lines:
            self.cockpit.save(lines, f"compare-{self._run_id}", "jsonl")
        else:
            self.cockpit.tell("Nothing has been answered yet.", "warning")

    def action_on_cpu(self) -> None:
        """Load the models anew, on the CPU."""
        self._end_session()
        self._begin(cpu=True)
        self._show_all()


def _text(exchange: Exchange, name: str) -> str:
    text = exchange.answers[name]
    return f"{text}\n\n[{exchange.trouble}]" if exchange.trouble else text


def _remark(exchange: Exchange, name: str, is_asking: bool) -> str:
    if name in exchange.ended:
        return "stopped" if exchange.ended[name] else f"{len(exchange.answers[name].split())} words"
    if is_asking and exchange.writer == name and exchange.answers[name]:
        return "writing ..."
    return "waits"
