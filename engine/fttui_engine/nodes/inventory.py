"""The machines of a team: ``$XDG_CONFIG_HOME/fttui/nodes.yaml``, one block per machine under its name for ssh.

There are no users, keys or passwords in it: those are ssh's, so that the file can be kept in a repository.
"""

import os
import re
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final, NamedTuple

from fttui_engine.errors import NoSuchRunError, WrongRequestError
from fttui_engine.runs.home import PRIVATE_FILE
from fttui_engine.spec.document import read_document, read_text
from fttui_engine.spec.findings import nearest
from fttui_engine.spec.nodes import Block, DocumentError, Items, Node, Scalar

# A name that begins with "-" would be an option to ssh, and one with "%" or a blank could be more than a name.
NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
INTERFACE: Final = re.compile(r"[A-Za-z0-9_.:@-]{1,15}")
MOST_GPUS: Final = 1024
KEYS: Final = ("addr", "interface", "gpus", "python", "scratch")


class Machine(NamedTuple):
    """One machine of the inventory; what is ``None`` it is asked for."""

    name: str
    """The alias, as in ``~/.ssh/config``."""
    addr: str | None = None
    """The address at which the other machines reach it in training."""
    interface: str | None = None
    gpus: tuple[int, ...] | None = None
    """The indices of GPUs that may be used."""
    python: str | None = None
    """The Python that trains there."""
    scratch: str | None = None
    """The only folder there that anything is copied to."""


class InventoryError(WrongRequestError):
    """The inventory cannot be used as it is written."""


class NoSuchMachineError(NoSuchRunError):
    """No machine of the inventory goes by the given name."""


def inventory_path() -> Path:
    """Return where the inventory is, or would be."""
    base = os.environ.get("XDG_CONFIG_HOME") or "~/.config"
    return Path(os.path.abspath(os.path.expanduser(base)), "fttui", "nodes.yaml")


def is_machine_name(name: str) -> bool:
    """Whether ``name`` can be given to ssh as the name of a host, and be nothing else there."""
    return NAME.fullmatch(name) is not None


def read_inventory(path: Path) -> list[Machine]:
    """Return the machines in the order of the file, none where there is no file; raises InventoryError."""
    try:
        if not path.exists() or not _has_content(read_text(path)):
            return []
        document = read_document(path)
    except DocumentError as error:
        where = f"{path}:{error.line}" if error.line else str(path)
        raise InventoryError(
            f"{where}: {error.message}", "docs/several-machines.md shows an example"
        ) from None
    machines: list[Machine] = []
    for name, block in document.entries:
        where = f"{path}:{name.line}"
        if not is_machine_name(name.text):
            raise InventoryError(
                f"{where}: {name.text[:80]!r} cannot be the name of a machine",
                "use the Host of ~/.ssh/config: letters, digits, '.', '_' and '-', not beginning with '-' or '.'",
            )
        if any(name.text == each.name for each in machines):
            raise InventoryError(f"{where}: {name.text} is there twice", "keep one of the two blocks")
        machines.append(_machine(path, name, block))
    return machines


def choose(machines: list[Machine], names: list[str]) -> list[Machine]:
    """Return the machines of these names, all where none is named; raises NoSuchMachineError."""
    by_name = {machine.name: machine for machine in machines}
    for name in names:
        if name not in by_name:
            close = nearest(name, list(by_name))
            hint = f"did you mean {close}?" if close else f"there are: {', '.join(by_name) or 'none yet'}"
            raise NoSuchMachineError(
                f"there is no machine {name!r} in the inventory", f"{hint}; fttui nodes add NAME adds one"
            )
    return [by_name[name] for name in dict.fromkeys(names)] if names else machines


def add_machines(path: Path, machines: list[Machine]) -> None:
    """Add blocks at the end of the file, whose text stays as it is; raises InventoryError."""
    read_inventory(path)
    before = read_text(path) if path.exists() else ""
    if before and not before.endswith("\n"):
        before += "\n"
    _replace(path, before + "".join(_block(machine) for machine in machines))


def remove_machine(path: Path, name: str) -> None:
    """Cut the block of a machine out of the file; every other line stays as it is."""
    choose(read_inventory(path), [name])
    document = read_document(path)
    text = read_text(path)
    lines = text.splitlines(keepends=True)
    starts = [key.line for key, _ in document.entries]
    at = next(number for number, (key, _) in enumerate(document.entries) if key.text == name)
    end = starts[at + 1] - 1 if at + 1 < len(starts) else len(lines)
    # Comments in front of the next machine belong to that one.
    while end > starts[at] and at + 1 < len(starts) and lines[end - 1].lstrip().startswith("#"):
        end -= 1
    rest = "".join([*lines[: starts[at] - 1], *lines[end:]])
    if document.entries[0][0].line == document.line == starts[at] and text.lstrip()[:1] == "{":
        raise InventoryError(f"{path} is written in braces", f"take {name} out of it with an editor")
    _replace(path, rest)


def _has_content(text: str) -> bool:
    return any(line.strip() and not line.lstrip().startswith("#") for line in text.splitlines())


def _replace(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    # The file may be a link into a repository of the team's.
    target = Path(os.path.realpath(path))
    temporary = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        temporary.write_text(text, encoding="utf-8")
        temporary.chmod(target.stat().st_mode & 0o777 if target.exists() else PRIVATE_FILE)
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


def _block(machine: Machine) -> str:
    lines = [f"{machine.name}:"]
    for key in KEYS:
        value = getattr(machine, key)
        if value is not None:
            text = "[" + ", ".join(map(str, value)) + "]" if key == "gpus" else _quoted(value)
            lines.append(f"  {key}: {text}")
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    return text if re.fullmatch(r"[A-Za-z0-9/._-]*[A-Za-z/._-][A-Za-z0-9/._-]*", text) else f"'{text}'"


def _machine(path: Path, name: Scalar, block: Node) -> Machine:
    if isinstance(block, Scalar) and block.is_null:
        return Machine(name.text)
    if not isinstance(block, Block):
        raise InventoryError(
            f"{path}:{block.line}: {name.text}: a block of {', '.join(KEYS)} was expected",
            "docs/several-machines.md shows an example",
        )
    found: dict[str, Any] = {}
    for key, node in block.entries:
        where = f"{path}:{key.line}: {name.text}.{key.text[:80]}"
        if key.text not in KEYS:
            close = nearest(key.text, KEYS)
            hint = f"did you mean {close}?" if close else f"there are: {', '.join(KEYS)}"
            raise InventoryError(f"{where}: there is no such key", hint)
        if key.text in found:
            raise InventoryError(f"{where}: it is there twice", "keep one of the two")
        found[key.text] = None if isinstance(node, Scalar) and node.is_null else _value(where, key.text, node)
    return Machine(name.text, **found)


def _value(where: str, key: str, node: Node) -> str | tuple[int, ...]:
    if key == "gpus":
        return _gpus(where, node)
    text = node.text if isinstance(node, Scalar) else ""
    if key == "addr" and not _is_address(text):
        raise InventoryError(
            f"{where}: {text[:80]!r} is no address",
            "write the number, such as 10.0.0.5: names may mean another address on another machine",
        )
    if key == "interface" and not INTERFACE.fullmatch(text):
        raise InventoryError(
            f"{where}: {text[:80]!r} is no name of an interface", "such as eth0; ip addr lists them"
        )
    if key in ("python", "scratch") and not _is_path(text):
        raise InventoryError(f"{where}: {text[:80]!r} is no full path", "write it from / on")
    return text


def _gpus(where: str, node: Node) -> tuple[int, ...]:
    items = node.items if isinstance(node, Items) else []
    texts = [item.text for item in items if isinstance(item, Scalar)]
    good = all(text.isascii() and text.isdigit() and int(text[:9]) < MOST_GPUS for text in texts)
    if not good or len(texts) != len(items) or len(set(texts)) != len(texts) or not isinstance(node, Items):
        raise InventoryError(
            f"{where}: a list of indices was expected", "such as [0, 1]; [] for none of its GPUs"
        )
    return tuple(int(text) for text in texts)


def _is_address(text: str) -> bool:
    try:
        return not ip_address(text).is_unspecified
    except ValueError:
        return False


def _is_path(text: str) -> bool:
    return text.startswith("/") and text.isprintable() and "'" not in text
