"""One run over several machines: each has its part, with a keeper and a supervisor of its own and the same id.

The parts are the truth, so that any machine with the inventory can look after the run. Ranks find together by
themselves, agree on the newest checkpoint that all machines have, and notice within seconds when one is gone.
"""

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from fttui_engine.errors import FttuiError, WrongRequestError
from fttui_engine.nodes.conversation import Conversation
from fttui_engine.nodes.facts import Facts
from fttui_engine.nodes.talks import Talks

if TYPE_CHECKING:
    from fttui_engine.spec.resolved import Resolved

RUN_SECONDS = 70.0
LIVE = frozenset({"queued", "starting", "running", "stopping"})


class Part(NamedTuple):
    """One machine's part of a run, as ``fttui show --json`` there tells it."""

    machine: str
    shown: dict[str, Any]


def start_parts(
    talks: Talks,
    machines: list[Facts],
    resolved: "Resolved",
    *,
    name: str,
    port: int,
    places: dict[str, dict[str, str]],
) -> None:
    """Start the run on all machines, or on none: where one part cannot start, the others are stopped again."""
    counts = _ranks_per_machine(machines, resolved)
    requests = {
        facts.machine.name: {
            "name": name,
            "values": _values_for(facts, resolved, count, places.get(facts.machine.name, {})),
            "origins": resolved.origins,
            "ranks": _ranks_for(machines, counts, index, port),
        }
        for index, (facts, count) in enumerate(zip(machines, counts, strict=True))
    }

    def begin(talk: Conversation) -> dict[str, Any]:
        asked = json.dumps(requests[talk.machine.name])
        return _run(talk, ["-P", "-m", "fttui_engine.nodes.part"], asked)

    answers = talks.each(begin, requests)
    failed = {machine: said["said"].strip() for machine, said in answers.items() if said["code"] != 0}
    failed |= {machine: talks.broken[machine].message for machine in requests if machine not in answers}
    if failed:
        begun = [machine for machine, said in answers.items() if said["code"] == 0]
        talks.each(lambda talk: fttui(talk, "stop", name, "--now"), begun)
        told = "; ".join(f"{machine}: {text}" for machine, text in failed.items())
        raise FttuiError(
            f"the run was not started: {told}",
            f"its parts on {', '.join(begun) or 'no machine'} were stopped",
        )


def require_free_name(talks: Talks, name: str) -> None:
    """Raise WrongRequestError where a machine has a run over several machines of this name."""
    if taken := sorted({part.machine for part in parts(talks) if part.shown["id"] == name}):
        raise WrongRequestError(
            f"{', '.join(taken)} has a run {name} already", "choose another one with --name"
        )


def parts(talks: Talks) -> Iterator[Part]:
    """Every run of the machines that is a part of one over several, machine by machine."""
    answers = talks.each(lambda talk: fttui(talk, "ls", "--json"))
    for machine, said in answers.items():
        if said["code"] != 0:
            raise FttuiError(f"{machine}: {_complaint(said['said'])}", "fttui ls there says more")
        for shown in json.loads(said["out"]):
            if "--node=" in " ".join(shown["command"] or []):
                yield Part(machine, shown)


def tell_all(talks: Talks, name: str, *words: str) -> dict[str, str]:
    """Do the same with every part of a run, all at once; returns what a machine complains of, by its name."""
    having = [part.machine for part in parts(talks) if part.shown["id"] == name]
    if not having:
        raise WrongRequestError(f"no machine has a part of a run {name!r}", "fttui nodes runs lists them")
    verb, *options = words
    answers = talks.each(lambda talk: fttui(talk, verb, name, *options), having)
    return {machine: _complaint(said["said"]) for machine, said in answers.items() if said["code"] != 0}


def fttui(talk: Conversation, *words: str) -> dict[str, Any]:
    """Run a verb of the fttui that is installed on a machine."""
    return _run(talk, ["-P", "-m", "fttui", *words], "")


def _run(talk: Conversation, words: list[str], given: str) -> dict[str, Any]:
    python = talk.machine.python or ""
    return dict(talk.ask("run", python=python, words=words, input=given, seconds=RUN_SECONDS))


def _complaint(text: str) -> str:
    """What a verb complains of; the line behind it is its advice."""
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[0].removeprefix("fttui: ") if lines else "without a word"


def _ranks_for(machines: list[Facts], counts: list[int], index: int, port: int) -> list[str]:
    """The arguments of ``train.ranks`` on one of the machines; the first one's address is where all meet."""
    master, interface = str(machines[0].address), machines[index].machine.interface
    ranks = [
        ",".join(f"{each.machine.name}:{count}" for each, count in zip(machines, counts, strict=True)),
        f"--node={index}",
        f"--master={f'[{master}]' if ':' in master else master}:{port}",
        f"--planned={sum(counts)}",
    ]
    return [*ranks, f"--interface={interface}"] if interface else ranks


def _values_for(facts: Facts, resolved: "Resolved", count: int, places: dict[str, str]) -> dict[str, Any]:
    """The configuration as one machine needs it: its own Python, its own GPUs, its own copies."""
    gpus = [gpu["index"] for gpu in facts.gpus]
    run = {key: value for key, value in resolved.values["run"].items() if key not in ("python", "name")}
    run |= {"gpus": gpus} if gpus else {"gpus": "none", "processes": count}
    return {**_placed(resolved.values, places), "run": run}


def _ranks_per_machine(machines: list[Facts], resolved: "Resolved") -> list[int]:
    with_gpus = [facts.machine.name for facts in machines if facts.gpus]
    if with_gpus and len(with_gpus) < len(machines):
        without = [facts.machine.name for facts in machines if not facts.gpus]
        raise WrongRequestError(
            f"{', '.join(without)} has no GPU, but {', '.join(with_gpus)} has", "leave one of them out"
        )
    return [len(facts.gpus) or resolved.run.processes or 1 for facts in machines]


def _placed(values: dict[str, Any], places: dict[str, str]) -> dict[str, Any]:
    """The values with paths of copies in place of those that are not there."""
    placed = dict(values)
    for key, value in values.items():
        if isinstance(value, str):
            placed[key] = places.get(value, value)
        elif isinstance(value, list):
            placed[key] = [places.get(each, each) if isinstance(each, str) else each for each in value]
    used = {value for value in values.values() if isinstance(value, str)}
    used |= {
        each
        for value in values.values()
        if isinstance(value, list)
        for each in value
        if isinstance(each, str)
    }
    if lost := sorted(set(places) - used):
        raise WrongRequestError(
            f"{lost[0]} lies elsewhere on a machine, and dataset_info.json names it by its path here",
            "name the file itself under dataset:, or copy dataset_dir to the same path by hand",
        )
    return placed
