"""A configuration in which every question is answered, and its form on disk (the run's ``spec.yaml``)."""

import json
import os
from typing import TYPE_CHECKING, Any, NamedTuple

from fttui_engine.errors import FttuiError
from fttui_engine.spec.document import read_document
from fttui_engine.spec.findings import Findings
from fttui_engine.spec.keys import BLOCKS, KEYS
from fttui_engine.spec.nodes import Block, DocumentError, Scalar
from fttui_engine.spec.run_block import RunOptions
from fttui_engine.spec.values import MismatchError, convert

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from fttui_engine.spec.config import TrainingConfig

SCHEMA = 1


class Resolved(NamedTuple):
    """Every value, where it came from, and what was found on the way.

    Local paths in ``values`` are absolute. The keys of the ``run:`` block stand nested under ``values["run"]``; in
    ``origins`` they have dotted names.
    """

    values: dict[str, Any]
    origins: dict[str, str]
    run: RunOptions
    findings: Findings

    @property
    def ok(self) -> bool:
        """Whether a run may be started from it."""
        return not self.findings.errors

    @property
    def config(self) -> "TrainingConfig | None":
        """The typed settings of our own training; None for another program, or when there are errors."""
        if self.run.command is not None or not self.ok:
            return None
        # Not at the top: dataclasses costs as much as starting Python, and `fttui start` has no need of it.
        from fttui_engine.spec.config import TrainingConfig

        return TrainingConfig.from_values(self.values)

    def with_value(self, key: str, value: Any, origin: str) -> "Resolved":
        """The same with one top-level value set, such as the ``output_dir`` that depends on the run's folder."""
        return self._replace(values={**self.values, key: value}, origins={**self.origins, key: origin})


def nest(flat: dict[str, Any]) -> dict[str, Any]:
    """``{"run.name": "x"}`` as ``{"run": {"name": "x"}}``."""
    nested: dict[str, Any] = {}
    for name, value in flat.items():
        *parents, last = name.split(".")
        target = nested
        for parent in parents:
            target = target.setdefault(parent, {})
        target[last] = value
    return nested


def write_spec(resolved: Resolved, path: "Path") -> None:
    """Write ``resolved`` to ``path``, readable by the owner only, in one piece or not at all."""
    content = {"schema": SCHEMA, "values": resolved.values, "origins": resolved.origins}
    text = "".join(_yaml_lines(content, ""))
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(text.encode())
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def _yaml_lines(block: dict[str, Any], indent: str) -> "Iterator[str]":
    """``block`` as YAML; written by hand because importing PyYAML for it would cost `fttui start` 15 ms."""
    for key, value in block.items():
        if isinstance(value, dict) and value:
            yield f"{indent}{key}:\n"
            yield from _yaml_lines(value, indent + "  ")
        else:
            yield f"{indent}{key}: {_yaml_value(value)}\n"


def _yaml_value(value: Any) -> str:
    # JSON is YAML, except that YAML wants more characters escaped, and none as a pair of surrogates.
    text = json.dumps(value, ensure_ascii=False)
    return "".join(character if character.isprintable() else f"\\U{ord(character):08x}" for character in text)


def read_spec(path: "Path") -> Resolved:
    """Read what ``write_spec`` wrote; raises FttuiError when the file is damaged."""
    try:
        sections = {key.text: node for key, node in read_document(path).entries}
        values = _flat_values(sections.get("values"), "")
    except DocumentError as error:
        line = f" line {error.line}:" if error.line else ""
        raise _damaged(path, f"{line} {error.message}") from None
    except MismatchError as error:
        raise _damaged(path, f" found {error.found}, allowed is {error.allowed}") from None
    origins = sections.get("origins")
    origin_of = (
        {key.text: node.text for key, node in origins.entries if isinstance(node, Scalar)}
        if isinstance(origins, Block)
        else {}
    )
    nested = nest(values)
    return Resolved(nested, origin_of, RunOptions.from_values(nested.setdefault("run", {})), Findings())


def _flat_values(block: object, prefix: str) -> dict[str, Any]:
    """Values with dotted names; keys that a later release added are left out."""
    if not isinstance(block, Block):
        raise DocumentError("The block `values` is missing.")
    values: dict[str, Any] = {}
    for key, node in block.entries:
        name = prefix + key.text
        if name in BLOCKS:
            values.update(_flat_values(node, name + "."))
        elif name in KEYS and (value := convert(KEYS[name], node)) is not None:
            values[name] = value
    return values


def _damaged(path: "Path", detail: str) -> FttuiError:
    return FttuiError(
        f"The configuration of the run is damaged: {path}:{detail}",
        "Nothing can be resumed from this run; start a new one from your own configuration file.",
    )
