"""What a configuration takes of memory, in sentences for a panel."""

from fttui.lines import Role
from fttui.wizard.wish import Judgement


def memory_texts(judged: Judgement, *, with_terms: bool = True) -> list[tuple[str, Role]]:
    """Return the prediction, whether it fits, and what could be changed: as ``fttui check`` says it."""
    texts: list[tuple[str, Role]] = []
    fits = ((judged.report or {}).get("memory") or {}).get("fits")
    for text in judged.memory:
        if text.startswith("  ") or text.endswith(":"):
            texts += [(text, "dim")] if with_terms else []
        elif text.startswith("advice: "):
            texts.append((text, "note"))
        elif "fits" in text or "fit" in text:
            texts.append((text.removeprefix("memory: "), _ROLES[fits]))
        else:
            texts.append((text, "plain"))
    return texts


_ROLES: dict[bool | None, Role] = {True: "good", False: "bad", None: "warn"}
