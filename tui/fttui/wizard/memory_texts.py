"""What a configuration takes of memory, in sentences for a panel."""

from fttui.lines import Role
from fttui.wizard.wish import Judgement


def memory_texts(judged: Judgement, *, with_terms: bool = True) -> list[tuple[str, Role]]:
    """Return whether it fits, what could be changed and the prediction, in the words of ``fttui check``.

    The verdict comes first: with the terms before it, a terminal of 24 rows did not show it.
    """
    texts: list[tuple[str, Role]] = []
    terms: list[tuple[str, Role]] = []
    fits = ((judged.report or {}).get("memory") or {}).get("fits")
    for text in judged.memory:
        if text.startswith("  ") or text.endswith(":"):
            terms.append((text, "dim"))
        elif text.startswith("advice: "):
            texts.append((text, "note"))
        elif "fits" in text or "fit" in text:
            texts.append((text.removeprefix("memory: "), _ROLES[fits]))
        else:
            texts.append((text, "plain"))
    return texts + terms if with_terms else texts


_ROLES: dict[bool | None, Role] = {True: "good", False: "bad", None: "warn"}
