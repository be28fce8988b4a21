"""The launchers of all hosts meet before any rank is started, and say by name who is missing.

The first host listens at the port at which its rank 0 listens afterwards, so that whoever has met here can meet there.
"""

import errno
import os
import select
import socket
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from fttui_engine.errors import FttuiError
from fttui_engine.train.ranks.lifeline import Lifeline
from fttui_engine.train.ranks.place import Place
from fttui_engine.version import __version__

# How often a log says who is late, and how long a stranger at the door may keep silent.
_SAY_SECONDS = 10.0
_HELLO_SECONDS = 5.0
_RETRY_SECONDS = 0.5


class MeetingError(FttuiError):
    """The hosts of a training did not come together."""


class MeetingStoppedError(Exception):
    """A person asked for a stop before all hosts were there."""


class Arrival(NamedTuple):
    """What a launcher brings to the meeting."""

    run_id: str
    steps: tuple[int, ...]
    """The checkpoints that its host could go on from; empty where it starts from scratch."""


class Met(NamedTuple):
    """What came of a meeting."""

    lifelines: dict[int, Lifeline]
    """By node: on the first host those to all others, on these the one to the first."""
    resume_step: int | None
    """The newest checkpoint that all hosts have, ``None`` where all start from scratch."""
    listener: socket.socket | None
    """On the first host, where rank 0 is going to listen."""


class _Clock:
    """Counts down to the end of a meeting, and says in the log who is late, now and then."""

    def __init__(self, place: Place, wants_stop: Callable[[], bool]) -> None:
        self._ends = time.monotonic() + place.meet_seconds
        self._said = time.monotonic()
        self._wants_stop = wants_stop

    @property
    def seconds_left(self) -> float:
        return self._ends - time.monotonic()

    def tick(self, waiting_for: str) -> str | None:
        """Return a line for the log where one is due; raises MeetingStoppedError where a stop was asked for."""
        if self._wants_stop():
            raise MeetingStoppedError
        now = time.monotonic()
        if now - self._said < _SAY_SECONDS:
            return None
        self._said = now
        return f"ranks: waiting for {waiting_for}; {max(0.0, self.seconds_left):.0f} s left"


def meet(place: Place, arrival: Arrival, wants_stop: Callable[[], bool]) -> Met:
    """Return when the launchers of all hosts are there; raises MeetingError with the name of who is not."""
    clock = _Clock(place, wants_stop)
    if place.number == 0:
        return _Host(place, arrival, clock).meet()
    return _Guest(place, arrival, clock).meet()


# ---- The first host ----


class _Host:
    def __init__(self, place: Place, arrival: Arrival, clock: _Clock) -> None:
        self._place, self._arrival, self._clock = place, arrival, clock
        self._at_the_door: dict[Lifeline, float] = {}
        self._lifelines: dict[int, Lifeline] = {}
        self._steps: dict[int, Sequence[int]] = {0: arrival.steps}

    def meet(self) -> Met:
        listener = self._listen()
        try:
            while missing := self._missing():
                if self._clock.seconds_left <= 0:
                    raise self._not_come(missing)
                if line := self._clock.tick(missing):
                    print(line, flush=True)
                    for lifeline in self._lifelines.values():
                        lifeline.send(waiting=line)
                self._take_news(listener)
            step = common_step(self._place, self._steps)
        except BaseException as error:
            self._send_away(error)
            listener.close()
            raise
        for lifeline in self._lifelines.values():
            lifeline.send(go=True, resume_step=step)
        return Met(self._lifelines, step, listener)

    def _missing(self) -> str:
        nodes = range(1, len(self._place.nodes))
        return ", ".join(self._place.shown(node) for node in nodes if node not in self._lifelines)

    def _not_come(self, missing: str) -> MeetingError:
        return MeetingError(
            f"{missing} did not come within {self._place.meet_seconds:g} s",
            f"look at its log, and whether it reaches {self._place.master_address} port {self._place.master_port}; "
            "then resume",
        )

    def _listen(self) -> socket.socket:
        family = socket.AF_INET6 if ":" in self._place.master_address else socket.AF_INET
        listener = socket.socket(family)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        where = f"{self._place.master_address} port {self._place.master_port}"
        try:
            listener.bind((self._place.master_address, self._place.master_port))
            listener.listen(2 * self._place.world_size)
        except OSError as error:
            listener.close()
            if error.errno == errno.EADDRINUSE:
                raise MeetingError(
                    f"another program of {self._place.here.name} has {where}", "take another port"
                ) from error
            if error.errno == errno.EADDRNOTAVAIL:
                raise MeetingError(
                    f"{self._place.master_address} is no address of {self._place.here.name}",
                    "give the address by which the other hosts reach the first one",
                ) from error
            raise MeetingError(f"{where} cannot be used: {error.strerror}", "take another port") from error
        listener.setblocking(False)
        return listener

    def _take_news(self, listener: socket.socket) -> None:
        waiting: list[Any] = [listener, *self._at_the_door, *self._lifelines.values()]
        select.select(waiting, [], [], 0.2)
        try:
            connection, _ = listener.accept()
            self._at_the_door[Lifeline(connection, self._place.lost_seconds)] = time.monotonic()
        except (BlockingIOError, ConnectionError):
            pass
        for lifeline, since in list(self._at_the_door.items()):
            hello = next((message for message in lifeline.read() if "node" in message), None)
            if hello:
                del self._at_the_door[lifeline]
                self._welcome(lifeline, hello)
            elif lifeline.lost or time.monotonic() - since > _HELLO_SECONDS:
                del self._at_the_door[lifeline]
                lifeline.close()
        for node, lifeline in list(self._lifelines.items()):
            lifeline.read()
            if lifeline.lost:
                print(f"ranks: {self._place.shown(node)} went away again", flush=True)
                del self._lifelines[node]
                lifeline.close()

    def _welcome(self, lifeline: Lifeline, hello: dict[str, Any]) -> None:
        node = hello["node"]
        if problem := self._problem(node, hello):
            lifeline.send(refused=problem)
            lifeline.close()
            print(f"ranks: sent a host away: {problem}", flush=True)
            return
        lifeline.send(welcome=True)
        self._lifelines[node] = lifeline
        self._steps[node] = [int(step) for step in hello.get("steps", [])]
        print(f"ranks: {self._place.shown(node)} is there", flush=True)

    def _problem(self, node: object, hello: dict[str, Any]) -> str | None:
        if hello.get("run") != self._arrival.run_id:
            return f"here is run {self._arrival.run_id}, and not {hello.get('run')}"
        if not isinstance(node, int) or not 0 < node < len(self._place.nodes):
            return f"there is no node {node}"
        if hello.get("nodes") != [list(each) for each in self._place.nodes]:
            return f"{self._place.here.name} was told other hosts or other numbers of ranks"
        if hello.get("fttui") != __version__:
            return f"it has fttui {hello.get('fttui')}, and {self._place.here.name} has {__version__}"
        if node in self._lifelines:
            return f"node {node} is there already"
        return None

    def _send_away(self, error: BaseException) -> None:
        text = f"{error.message}. {error.hint}" if isinstance(error, FttuiError) else "it stopped"
        for lifeline in (*self._lifelines.values(), *self._at_the_door):
            lifeline.send(stopped=True) if isinstance(error, MeetingStoppedError) else lifeline.send(
                refused=text
            )
            lifeline.close()


def common_step(place: Place, steps: dict[int, Sequence[int]]) -> int | None:
    """Return the newest step that all hosts have a checkpoint of, ``None`` where none has any; raises MeetingError."""
    if not any(steps.values()):
        return None
    common = set.intersection(*(set(each) for each in steps.values()))
    if common:
        return max(common)
    newest = max(steps, key=lambda node: max(steps[node], default=-1))
    lacking = [place.shown(node) for node in sorted(steps) if max(steps[newest]) not in steps[node]]
    # To start from scratch because one disk was lost would throw away what the others kept.
    raise MeetingError(
        f"{', '.join(lacking)} lacks checkpoint-{max(steps[newest])}, which {place.shown(newest)} goes on from",
        "copy that folder there and resume, or start from scratch: fttui restart",
    )


# ---- The other hosts ----


class _Guest:
    def __init__(self, place: Place, arrival: Arrival, clock: _Clock) -> None:
        self._place, self._arrival, self._clock = place, arrival, clock
        self._reason = "no answer yet"

    def meet(self) -> Met:
        while self._clock.seconds_left > 0:
            self._tick()
            if lifeline := self._knock():
                try:
                    if met := self._inside(lifeline):
                        return met
                except BaseException:
                    lifeline.close()
                    raise
                lifeline.close()
            time.sleep(_RETRY_SECONDS)
        raise MeetingError(
            f"{self._master} was not reached within {self._place.meet_seconds:g} s: {self._reason}",
            "look whether it is started, and whether a firewall is in between; then resume",
        )

    @property
    def _master(self) -> str:
        return f"{self._place.shown(0)} at {self._place.master_address} port {self._place.master_port}"

    def _tick(self) -> None:
        if line := self._clock.tick(f"{self._master} ({self._reason})"):
            print(line, flush=True)

    def _knock(self) -> Lifeline | None:
        try:
            connection = socket.create_connection(
                (self._place.master_address, self._place.master_port), _HELLO_SECONDS
            )
        except OSError as error:
            self._reason = "no answer" if isinstance(error, TimeoutError) else str(error.strerror or error)
            return None
        lifeline = Lifeline(connection, self._place.lost_seconds)
        lifeline.send(
            node=self._place.number,
            run=self._arrival.run_id,
            nodes=self._place.nodes,
            fttui=__version__,
            steps=self._arrival.steps,
            pid=os.getpid(),
        )
        return lifeline

    def _inside(self, lifeline: Lifeline) -> Met | None:
        """Wait for the others; ``None`` where the first host went away, and may come back."""
        knocked, welcome = time.monotonic(), False
        while self._clock.seconds_left > 0:
            select.select([lifeline], [], [], 0.2)
            for message in lifeline.read():
                if "refused" in message:
                    raise MeetingError(
                        f"{self._place.shown(0)} ended the start: {message['refused']}",
                        f"the log on {self._place.nodes[0].name} says more; start all hosts again",
                    )
                if "stopped" in message:
                    raise MeetingStoppedError
                welcome = welcome or "welcome" in message
                if "waiting" in message:
                    print(message["waiting"], flush=True)
                if "go" in message:
                    return Met({0: lifeline}, message.get("resume_step"), None)
            if lifeline.lost:
                self._reason = f"it {lifeline.lost}"
                return None
            if not welcome and time.monotonic() - knocked > _HELLO_SECONDS:
                self._reason = "another program answers there"
                return None
            if not welcome:
                self._tick()
            else:
                # Who is late is said by the first host, and handed on above.
                self._clock.tick("the others")
        return None
