"""Whether what a configuration reads is on every machine, with the same content."""

from typing import Any, NamedTuple

from fttui_engine.doctor.finding import Finding
from fttui_engine.nodes.checks_alone import size
from fttui_engine.nodes.conversation import Conversation
from fttui_engine.nodes.facts import Facts
from fttui_engine.nodes.needed import Needed
from fttui_engine.nodes.talks import Talks

# Reading a data file of some GB takes a cold disk this long.
LOOK_SECONDS = 60.0


class FilesReport(NamedTuple):
    """What of the files was found where."""

    findings: list[tuple[str, Finding]]
    missing: dict[str, list[Needed]]
    """By machine, what would have to be copied there."""
    places: dict[str, dict[str, str]]
    """By machine, where each name lies there if not under its own path."""


def look_at_files(talks: Talks, machines: list[Facts], needed: list[Needed]) -> FilesReport:
    """Ask all machines at once."""
    answers = talks.each(
        lambda talk: [_ask(talk, each) for each in needed], [facts.machine.name for facts in machines]
    )
    report = FilesReport([], {}, {})
    for number, each in enumerate(needed):
        wanted = each.digest or _any_digest([found[number] for found in answers.values()])
        for name, found in answers.items():
            finding = _judge(name, each, found[number], wanted)
            report.findings.append((name, finding))
            if finding.level == "problem" and each.path is not None:
                report.missing.setdefault(name, []).append(each)
            if copy := found[number].get("copy"):
                report.places.setdefault(name, {})[each.name] = copy
    return report


def _ask(talk: Conversation, needed: Needed) -> dict[str, Any]:
    if needed.is_hub:
        found = talk.ask("find_model", name=needed.name, seconds=LOOK_SECONDS)
    else:
        found = talk.ask("describe", path=needed.name, seconds=LOOK_SECONDS)
    scratch = talk.machine.scratch
    if scratch and needed.digest and found.get("digest") != needed.digest:
        copy = talk.ask("copied", scratch=scratch, name=needed.copy_name, single=needed.single)
        if copy:
            found = {"found": True, "trouble": "", "digest": needed.digest, "copy": copy}
    return dict(found)


def _any_digest(answers: list[dict[str, Any]]) -> str | None:
    return next((answer["digest"] for answer in answers if answer.get("digest")), None)


def _judge(name: str, needed: Needed, found: dict[str, Any], wanted: str | None) -> Finding:
    what = f"{needed.key} {needed.name}"
    copy = f"fttui nodes check {name} --config CONFIG --sync   copies it there"
    if found.get("copy"):
        return Finding(needed.subject, "ok", f"{what} is there as a copy in its scratch folder")
    if found["trouble"]:
        return Finding(needed.subject, "problem", f"{what}: {found['trouble']}", copy)
    if not found["found"]:
        if needed.is_hub and wanted is None:
            text = f"{what} is on none of the machines yet: each of them will download it"
            return Finding(
                needed.subject, "note", text, "download it on one of them, to see that the name is right"
            )
        if needed.is_hub and needed.path is None:
            fix = f"on {name}: hf download {needed.name}"
            return Finding(needed.subject, "problem", f"{what} is not in its cache", fix)
        return Finding(needed.subject, "problem", f"{what} is not there ({size(needed.size_bytes)})", copy)
    if found["digest"] != wanted:
        text = f"{what} has another content there than here"
        return Finding(needed.subject, "problem", text, copy)
    return Finding(needed.subject, "ok", f"{what} is the same")
