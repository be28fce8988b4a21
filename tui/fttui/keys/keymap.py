"""The keys as this user has them: the table with the changes of the configuration file laid over."""

from collections.abc import Mapping
from dataclasses import replace
from typing import get_args

from fttui.keys import KEYS, keys_of
from fttui.keys.key import SIGNS, Key, Scope

NAMES = {sign: name for name, sign in SIGNS.items()}
SHORTEST_NAME = 1


class Keymap:
    """Knows the keys of every screen; what cannot be is left as it was and named in ``problems``."""

    def __init__(self, wanted: Mapping[str, str] | None = None) -> None:
        self.problems: list[str] = []
        self._changed: dict[str, Key] = {}
        for key_id, text in (wanted or {}).items():
            if key := self._change(key_id, text):
                self._changed[key_id] = key
        self._take_back_conflicts()

    @property
    def for_textual(self) -> dict[str, str]:
        """The changed keys by id."""
        return {key_id: key.keys for key_id, key in self._changed.items()}

    def keys_of(self, scope: Scope) -> tuple[Key, ...]:
        """Return the keys that work on a screen."""
        return tuple(self.changed(key) for key in keys_of(scope))

    def changed(self, key: Key) -> Key:
        """Return a key of the table as this user has it."""
        return self._changed.get(key.id, key)

    def _change(self, key_id: str, text: str) -> Key | None:
        key = next((each for each in KEYS if each.id == key_id), None)
        if key is None:
            from fttui_engine.spec.findings import nearest

            close = nearest(key_id, [each.id for each in KEYS])
            hint = f"; did you mean {close}?" if close else "; fttui keys lists them"
            self.problems.append(f"there is no action {key_id!r}{hint}")
            return None
        names = [NAMES.get(word, word) for word in text.replace(",", " ").split()]
        wrong = next((name for name in names if not _is_key(name)), None)
        if wrong is not None or not names:
            self.problems.append(
                f"{key_id}: {wrong or text!r} is no key: write s, S, ctrl+k, f5, space, enter or a sign"
            )
            return None
        return replace(key, keys=",".join(names), shown=SIGNS.get(names[0], names[0]))

    def _take_back_conflicts(self) -> None:
        """Leave a changed key as it was if another action of the same screen has it; until no two have the same."""
        while conflict := self._conflict():
            changed, other, name = conflict
            del self._changed[changed.id]
            sign = SIGNS.get(name, name)
            self.problems.append(
                f"{changed.id}: {sign} is the key of {other.id} on the same screen, so nothing changes"
            )

    def _conflict(self) -> tuple[Key, Key, str] | None:
        for scope in get_args(Scope):
            owners: dict[str, Key] = {}
            for key in self.keys_of(scope):
                for name in key.keys.split(","):
                    other = owners.setdefault(name, key)
                    if other is not key:
                        changed, kept = (key, other) if key.id in self._changed else (other, key)
                        return changed, kept, name
        return None


def _is_key(name: str) -> bool:
    """Whether a terminal can send this; a letter with shift is its capital, so nothing else needs a table."""
    from textual.keys import Keys

    *modifiers, last = name.split("+")
    if any(each not in ("ctrl", "shift", "alt") for each in modifiers):
        return False
    known = {each.value for each in Keys} | set(SIGNS)
    return (len(last) == SHORTEST_NAME and last.isprintable()) or last in known or name in known
