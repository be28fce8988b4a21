"""What was asked of both models, and what they have said so far."""

import json
from dataclasses import dataclass, field

from fttui_engine.launch.side_by_side import Heard

BASE, TUNED = "base", "tuned"


@dataclass(slots=True)
class Exchange:
    """One question and its two answers, as far as they are written."""

    question: str
    answers: dict[str, str] = field(default_factory=lambda: {BASE: "", TUNED: ""})
    ended: dict[str, bool] = field(default_factory=dict)
    """By model, once it has ended: whether it was stopped before its end."""
    trouble: str = ""

    @property
    def is_done(self) -> bool:
        """Whether both have ended."""
        return len(self.ended) == len(self.answers)

    @property
    def writer(self) -> str:
        """The model whose turn it is."""
        return BASE if BASE not in self.ended else TUNED


class Exchanges:
    """All of them, and the one that is looked at."""

    def __init__(self) -> None:
        self.all: list[Exchange] = []
        self.at = 0

    @property
    def shown(self) -> Exchange | None:
        """The one that is looked at."""
        return self.all[self.at] if self.all else None

    @property
    def waiting(self) -> int | None:
        """The first one that is not answered yet."""
        return next((number for number, each in enumerate(self.all) if not each.is_done), None)

    def add(self, question: str) -> int:
        """Add a question and look at it; returns its number."""
        self.all.append(Exchange(question))
        self.at = len(self.all) - 1
        return self.at

    def turn(self, by: int) -> None:
        """Look at another one."""
        self.at = min(max(0, self.at + by), max(0, len(self.all) - 1))

    def hear(self, heard: Heard) -> bool:
        """Take in a piece or an end; whether it was about the one that is looked at."""
        number = heard.values.get("ask")
        if not isinstance(number, int) or not 0 <= number < len(self.all):
            return False
        exchange, model = self.all[number], heard.values["model"]
        if heard.event == "piece":
            exchange.answers[model] += heard.values["text"]
        elif heard.event == "end":
            exchange.ended[model] = heard.values["was_stopped"]
        return number == self.at

    def forget_unfinished(self) -> None:
        """Empty answers that their process did not live to end: they are written anew."""
        self.all = [each if each.is_done else Exchange(each.question) for each in self.all]

    def drop_unasked(self, asked: int | None) -> None:
        """Take back the questions whose turn has not come."""
        kept = 0 if asked is None else asked + 1
        self.all = [each for number, each in enumerate(self.all) if each.is_done or number < kept]
        self.turn(0)

    def json_lines(self) -> list[str]:
        """Return what was answered in full, as ``fttui compare --json`` prints it."""
        return [
            json.dumps(
                {"prompt": each.question, **{name: text.strip() for name, text in each.answers.items()}},
                ensure_ascii=False,
            )
            for each in self.all
            if each.is_done
        ]
