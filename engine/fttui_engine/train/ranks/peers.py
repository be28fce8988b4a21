"""The launchers of all hosts while their ranks train: whichever fails first is named in the outcome of every host."""

import select
import time
from typing import Any, NamedTuple

from fttui_engine.runs.attempt import Outcome
from fttui_engine.train.ranks.lifeline import Lifeline
from fttui_engine.train.ranks.place import Place

NODE_LOST = "node_lost"
RANK_LOST = "rank_lost"
"""The kind of a failure that only says that another rank is gone."""


class PeerFailure(NamedTuple):
    """Why the ranks of another host ended."""

    node: int
    outcome: Outcome


class Peers:
    """The lifelines of one launcher: on the first host to all others, on these to the first, which hands news on."""

    def __init__(self, place: Place, lifelines: dict[int, Lifeline]) -> None:
        self._place = place
        self._lifelines = lifelines

    def news(self, wait_seconds: float) -> PeerFailure | None:
        """Return why another host failed, ``None`` where nothing is heard within the time."""
        if not self._lifelines:
            time.sleep(wait_seconds)
            return None
        ready, _, _ = select.select(list(self._lifelines.values()), [], [], wait_seconds)
        for node, lifeline in [(node, each) for node, each in self._lifelines.items() if each in ready]:
            messages = lifeline.read()
            for message in messages:
                if (failure := _failure(message)) is not None:
                    return failure
            if lifeline.lost:
                del self._lifelines[node]
                lifeline.close()
                if not lifeline.said_goodbye:
                    return self._gone(node, lifeline.lost)
        return None

    def _gone(self, node: int, how: str) -> PeerFailure:
        message = f"{self._place.shown(node)} {how}; the ranks of this host were ended."
        advice = (
            "Look at its log and its network; resume goes on from the newest checkpoint that all hosts have."
        )
        return PeerFailure(node, Outcome("failed", 0, None, message, advice, NODE_LOST))

    def tell(self, failure: PeerFailure) -> None:
        """Tell all other hosts why the ranks are ended."""
        for node, lifeline in self._lifelines.items():
            if node != failure.node:
                lifeline.send(failed=failure.outcome._asdict(), node=failure.node)

    def leave(self) -> None:
        """Part in peace."""
        for lifeline in self._lifelines.values():
            lifeline.send(goodbye=True)
            lifeline.close()
        self._lifelines = {}


def _failure(message: dict[str, Any]) -> PeerFailure | None:
    said, node = message.get("failed"), message.get("node")
    if not isinstance(said, dict) or not isinstance(node, int):
        return None
    step, max_steps = said.get("step"), said.get("max_steps")
    return PeerFailure(
        node,
        Outcome(
            "failed",
            step if isinstance(step, int) else 0,
            max_steps if isinstance(max_steps, int) else None,
            str(said.get("message", ""))[:2000],
            str(said.get("advice", ""))[:2000],
            str(said.get("kind", ""))[:40],
        ),
    )
