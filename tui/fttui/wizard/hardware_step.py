"""Step 4: which GPUs, who else is on them, and what will be taken of their memory."""

from collections.abc import Sequence
from threading import Thread
from typing import TYPE_CHECKING, ClassVar

from textual.message import Message

from fttui import figures
from fttui.lines import Role, Span, fit, fit_right, line
from fttui.widgets.choice_list import Choice
from fttui.wizard.draft import Draft
from fttui.wizard.memory_texts import memory_texts
from fttui.wizard.offers import GpuOffer, offer_gpus
from fttui.wizard.step import Step, paragraphs, post_back
from fttui.wizard.wish import NO_GPU

if TYPE_CHECKING:
    from fttui.keys import Scope

STRATEGIES = ("", "auto", "ddp", "fsdp")
ANEW_SECONDS = 5.0


class GpusFound(Message):
    """The driver has answered."""

    def __init__(self, gpus: Sequence[GpuOffer], problem: str) -> None:
        super().__init__()
        self.gpus, self.problem = gpus, problem


class HardwareStep(Step, can_focus=True):
    """Chooses where the run trains."""

    TITLE: ClassVar[str] = "Hardware"
    SCOPE: ClassVar["Scope"] = "new-hardware"

    def __init__(self) -> None:
        super().__init__()
        self._gpus: Sequence[GpuOffer] = ()
        self._problem = "asking the driver ..."
        self._is_asking = False
        self._is_pinned = False
        """Whether GPUs were picked one by one; the mark then only moves."""

    def on_mount(self) -> None:
        """Look again now and then: others start and end programs too."""
        self.set_interval(ANEW_SECONDS, self._ask_driver)

    def open(self, draft: Draft) -> None:
        """Become the step in front, and ask the driver."""
        self._is_pinned = "," in draft.wish.gpus
        super().open(draft)
        self._ask_driver()

    def _ask_driver(self) -> None:
        # A GPU that hangs holds the driver's answer for long; one question at a time is enough.
        if not self._is_asking and self.has_class("-open"):
            self._is_asking = True
            Thread(
                target=lambda: post_back(self, GpusFound(*offer_gpus())), daemon=True, name="fttui-gpus"
            ).start()

    def on_gpus_found(self, event: GpusFound) -> None:
        """Show the GPUs."""
        event.stop()
        self._is_asking = False
        self._gpus, self._problem = event.gpus, event.problem
        self.show(self.draft)

    def show(self, draft: Draft) -> None:
        """Show the places to train, and what the chosen one means."""
        self.draft = draft
        rows = self._rows()
        marked = self.choices.marked
        values = [row.value for row in rows]
        wanted = marked.value if marked and self._is_pinned else draft.wish.gpus
        at = values.index(wanted) if wanted in values else 0
        self.choices.show("Where", rows, at=at, remark="space picks several GPUs")
        self.panel.show("What it means", paragraphs(self._about()))

    def _rows(self) -> list[Choice]:
        picked = self._picked()
        rows = [
            Choice("", line(fit("as configured", 20), Span(self._configured(), "dim"))),
            Choice("auto", line(fit("auto", 20), Span("the GPU with most room when the run starts", "dim"))),
            Choice(NO_GPU, line(fit("none", 20), Span("train on the CPU", "dim"))),
        ]
        for gpu in self._gpus:
            mark = "x" if str(gpu.number) in picked else " "
            room = f"{figures.memory(gpu.free_bytes)} of {figures.memory(gpu.total_bytes)} free"
            users = Span(f"  {', '.join(gpu.users) or 'nobody on it'}", "warn" if gpu.users else "dim")
            name = fit(f"GPU {gpu.number} {gpu.name}", 28)
            rows.append(Choice(str(gpu.number), line(f"[{mark}] {name}", fit_right(room, 20), users)))
        return rows

    def _configured(self) -> str:
        judged = self.draft.judged
        if self.draft.wish.gpus or judged is None or judged.resolved is None:
            return ""
        values = judged.resolved.values
        gpus = values.get("run", {}).get("gpus", "auto")
        return "CPU (use_cpu)" if values.get("use_cpu") else f"run.gpus: {gpus}"

    def _picked(self) -> list[str]:
        gpus = self.draft.wish.gpus
        return gpus.split(",") if gpus[:1].isdigit() else []

    def _about(self) -> list[tuple[str, Role]]:
        judged = self.draft.judged
        if judged is None:
            return [("checking ...", "dim")]
        texts: list[tuple[str, Role]] = [(judged.trouble, "bad")] if judged.trouble else []
        errors = (judged.report or {}).get("errors") or []
        texts += [(f"x {each['message']}", "bad") for each in errors if each["key"] in _HARDWARE_KEYS]
        texts += [(self._problem, "dim")] if self._problem and not self._gpus else []
        if judged.resolved is not None:
            count = max(1, judged.resolved.run.process_count)
            strategy = judged.resolved.run.strategy
            several = f"{count} processes share each step, strategy {strategy} (s changes it)"
            why = ": ddp where each GPU has room for the whole model, else fsdp" if strategy == "auto" else ""
            if strategy == "auto" and judged.resolved.values.get("deepspeed"):
                why = ": deepspeed, because the configuration names its file"
            alone = "One process: there is nothing to divide."
            texts.append((f"{several}{why}." if count > 1 else alone, "plain"))
        return texts + memory_texts(judged)

    def choose(self, value: str) -> None:
        """Take the marked place, unless GPUs were picked one by one."""
        if not self._is_pinned:
            self.change(self.draft.wish._replace(gpus=value))

    def toggle(self) -> None:
        """Pick the marked GPU too, or no more."""
        row = self.choices.marked
        if row is None or not row.value.isdigit():
            return
        chosen = {*self._picked()} ^ {row.value} if self._is_pinned else {row.value}
        self._is_pinned = bool(chosen)
        self.change(self.draft.wish._replace(gpus=",".join(sorted(chosen or {row.value}, key=int))))

    def next_strategy(self) -> None:
        """Choose the next way to share the work."""
        at = STRATEGIES.index(self.draft.wish.strategy)
        self.change(self.draft.wish._replace(strategy=STRATEGIES[(at + 1) % len(STRATEGIES)]))


_HARDWARE_KEYS = ("run.gpus", "run.strategy", "run.processes", "use_cpu", "bf16", "fp16", "tf32")
