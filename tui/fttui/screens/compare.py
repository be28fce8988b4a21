"""Base and trained model side by side: the same questions, the answers as they are written.

The models live in a process of their own, only while this screen is open; it ends with the screen, and with this program.
"""

import os
import time
from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Container
from textual.message import Message

from fttui import figures
from fttui.compare.both_models import BothModels
from fttui.compare.exchanges import BASE, TUNED, Exchange, Exchanges
from fttui.keys import bindings
from fttui.screens.run_screen import CockpitScreen
from fttui.widgets.answer_panel import AnswerPanel
from fttui.widgets.compare_title import CompareTitle
from fttui.widgets.key_line import KeyLine
from fttui.widgets.prompt import Prompt
from fttui_engine.launch.side_by_side import Heard
from fttui_engine.runs.logs import one_line

if TYPE_CHECKING:
    from fttui.lines import Role

SIDE_BY_SIDE_WIDTH = 100
"""Below, one answer stands above the other."""
TICK_SECONDS = 1.0


class ModelSpoke(Message):
    """The process with the models said something."""

    def __init__(self, heard: Heard, number: int) -> None:
        super().__init__()
        self.heard, self.number = heard, number


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
        self._run_id = run_id
        self._models = BothModels(run_id, step, self._hear)
        self._title = CompareTitle()
        self._panels = {BASE: AnswerPanel(id="base"), TUNED: AnswerPanel(id="tuned")}
        self._prompt = Prompt()
        self._key_line = KeyLine("compare")
        self._exchanges = Exchanges()
        self._names = {BASE: "Base", TUNED: "Trained"}
        self._asked: int | None = None
        self._status: tuple[str, Role] = ("", "dim")
        self._loading, self._began_at = "looking for what was saved", time.time()
        self._is_ready = False
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
        self._models.end()

    def on_resize(self) -> None:
        """Put the answers beside each other where there is room."""
        self.query_one("#answers").set_class(self.app.size.width >= SIDE_BY_SIDE_WIDTH, "-beside")
        self.call_after_refresh(self._show_all)

    # The process

    def _begin(self, *, cpu: bool) -> None:
        self._is_ready, self._asked, self._on_cpu = False, None, cpu
        self._exchanges.forget_unfinished()
        self._loading, self._began_at = "looking for what was saved", time.time()
        self._models.begin(cpu=cpu)

    def _hear(self, heard: Heard, number: int) -> None:
        try:
            self.post_message(ModelSpoke(heard, number))
        except RuntimeError:
            # The program has ended meanwhile; there is nobody to tell.
            return

    def on_model_spoke(self, event: ModelSpoke) -> None:
        """Take in what the process said."""
        if not self._models.is_present(event.number):
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
        self._models.end()
        self._is_ready, self._asked = False, None
        if self._status[0] != "not loaded":
            self.cockpit.tell(f"The process with the models ended: {values['message']}", "error")
        self._loading, self._status = "", ("not loaded", "bad")

    def _go_on(self) -> None:
        if self._asked is not None and self._exchanges.all[self._asked].is_done:
            self._asked = None
            self._ask_next()

    def _ask_next(self) -> None:
        waiting = self._exchanges.waiting
        if self._asked is not None or waiting is None or not self._is_ready or not self._models.process:
            return
        if self._exchanges.shown and self._exchanges.shown.is_done:
            self._exchanges.at = waiting
        self._asked = waiting
        self._models.process.ask(waiting, self._exchanges.all[waiting].question)

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
            if self._models.process:
                self._models.process.read(os.path.expanduser(text))
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
        if self._models.process and self._asked is not None:
            self._exchanges.drop_unasked(self._asked)
            self._models.process.stop()
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
