"""From a file, a profile and the command line to one resolved configuration."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fttui_engine.errors import WrongRequestError
from fttui_engine.spec.findings import Findings, Ignored, Place, nearest
from fttui_engine.spec.keys import BLOCKS, KEYS
from fttui_engine.spec.layers import Entry, file_entries, merge, override_entries
from fttui_engine.spec.nodes import Scalar
from fttui_engine.spec.paths import make_absolute
from fttui_engine.spec.resolved import Resolved, nest
from fttui_engine.spec.run_block import RunOptions
from fttui_engine.spec.values import MismatchError, convert, text_of

if TYPE_CHECKING:
    from collections.abc import Sequence

DEFAULT = "default"
# Parts of the name of a key whose value is never quoted back to the screen.
SECRET_PARTS = ("token", "api_key", "secret", "password")


def resolve(
    path: Path | None,
    *,
    profile: str | None = None,
    overrides: "Sequence[str]" = (),
    cwd: Path | None = None,
    text: str | None = None,
) -> Resolved:
    """The configuration that these layers amount to, checked in full; whatever is wrong stands in its findings.

    ``text`` is what the file at ``path`` is going to say once an editor has saved it.
    """
    findings = Findings()
    folder = cwd if cwd is not None else _current_folder()
    layers = []
    if profile is not None:
        layers.append(_profile_entries(profile, findings))
    if path is not None:
        layers.append(file_entries(folder / os.path.expanduser(path), f"file {path}", findings, text))
    # A layer that could not be read at all is reported without a key; what is missing then proves nothing.
    is_readable = all(error.key for error in findings.errors)
    layers.append(override_entries(overrides, findings))
    entries = merge(layers, findings)

    is_foreign = "run.command" in entries and not _is_null(entries["run.command"])
    if is_foreign:
        _drop_training_keys(entries, findings)
    values, places, faulty = _values(entries, findings)
    if profile is not None:
        from fttui_engine.spec.profile_precision import fit_precision

        fit_precision(values, places, findings)
    _fill_defaults(values, places, is_foreign=is_foreign)
    make_absolute(values, folder)
    if is_readable:
        from fttui_engine.spec.lint import lint

        lint(values, places, faulty, findings)
    nested = nest(_in_table_order(values))
    run = RunOptions.from_values(nested.setdefault("run", {}))
    return Resolved(nested, {name: places[name].origin for name in KEYS if name in places}, run, findings)


def _current_folder() -> Path:
    try:
        return Path.cwd()
    except FileNotFoundError:
        raise WrongRequestError(
            "The folder that you are in has been deleted.",
            "Change to another one; relative paths start there.",
        ) from None


def _profile_entries(name: str, findings: Findings) -> list[Entry]:
    from fttui_engine.spec.profiles import load_profile

    try:
        found = load_profile(name)
    except WrongRequestError as error:
        findings.error("", f"{error.message} {error.hint}", Place("--profile"), found=name)
        return []
    return file_entries(found.path, f"profile {name}", findings)


def _is_null(entry: Entry) -> bool:
    return isinstance(entry.node, Scalar) and entry.node.is_null


def _drop_training_keys(entries: dict[str, Entry], findings: Findings) -> None:
    for name in [name for name in entries if not name.startswith("run.") and name != "output_dir"]:
        why = "run.command starts a program of your own, which is not given this file"
        findings.ignored.append(Ignored(name, why, entries.pop(name).place.line))


def _values(
    entries: dict[str, Entry], findings: Findings
) -> tuple[dict[str, Any], dict[str, Place], set[str]]:
    """Values and places of all keys that were written and are right, and the names of those that are not."""
    values: dict[str, Any] = {}
    places: dict[str, Place] = {}
    faulty: set[str] = set()
    for name, entry in entries.items():
        key = KEYS.get(name)
        if key is None:
            _without_effect(entry, findings)
            continue
        try:
            value = convert(key, entry.node)
        except MismatchError as error:
            faulty.add(name)
            _report_mismatch(entry, error, findings)
            continue
        if value is not None:
            values[name] = value
            places[name] = entry.place
    return values, places, faulty


def _report_mismatch(entry: Entry, error: MismatchError, findings: Findings) -> None:
    from fttui_engine.spec.known_keys import LATER_VALUES

    text = entry.node.text if isinstance(entry.node, Scalar) else ""
    if later := LATER_VALUES.get((entry.key, text)):
        message = f"{later} ({entry.key}: {text}) needs a later release of fttui; use {error.allowed}."
    else:
        message = f"{entry.key} must be {error.allowed}, but is {error.found}."
    if error.suggestion:
        message += f" Did you mean {error.suggestion}?"
    findings.error(
        entry.key, message, entry.place, found=error.found, allowed=error.allowed, suggestion=error.suggestion
    )


def _without_effect(entry: Entry, findings: Findings) -> None:
    """A key that is not ours: refused, ignored with a reason, or unknown to everybody."""
    from fttui_engine.spec.known_keys import asks_for_nothing, find_known

    known = find_known(entry.key)
    if known is None:
        _report_unknown(entry, findings)
    elif asks_for_nothing(known, entry.node):
        return
    elif not known.refused:
        findings.ignored.append(Ignored(entry.key, known.why, entry.place.line))
    else:
        is_secret = any(part in entry.key for part in SECRET_PARTS)
        findings.error(
            entry.key,
            f"{known.why}; remove the line only if the run is right without {entry.key}.",
            entry.place,
            found=None if is_secret else text_of(entry.node),
            allowed="nothing, in this release",
        )


def _report_unknown(entry: Entry, findings: Findings) -> None:
    from fttui_engine.spec.known_keys import known_names
    from fttui_engine.spec.spellings import OLD_KEYS

    suggestion = nearest(entry.key, [*KEYS, *known_names(), *OLD_KEYS])
    if suggestion is None and "." not in entry.key and f"run.{entry.key}" in KEYS:
        suggestion = f"run.{entry.key}"
    kind = "key of the run: block" if entry.key.split(".")[0] in BLOCKS else "key"
    message = f"There is no {kind} {entry.key[:80]!r}."
    message += (
        f" Did you mean {suggestion}?" if suggestion else " Remove it; docs/configuration.md lists all keys."
    )
    findings.error(entry.key, message, entry.place, found=entry.key[:80], suggestion=suggestion)


def _fill_defaults(values: dict[str, Any], places: dict[str, Place], *, is_foreign: bool) -> None:
    for name, key in KEYS.items():
        if name not in values and key.default is not None and (name.startswith("run.") or not is_foreign):
            values[name] = list(key.default) if isinstance(key.default, list) else key.default
            places[name] = Place(DEFAULT)
    if not is_foreign:
        _derive(values, places, "lora_alpha", 2 * values["lora_rank"], "2 x lora_rank")
        # transformers falls back to logging_steps, which here would mean an evaluation at every step.
        _derive(values, places, "eval_steps", values["save_steps"], "save_steps")
        _derive(values, places, "data_seed", values["seed"], "seed")
        if values["load_best_model_at_end"] or "early_stopping_steps" in values:
            _derive(values, places, "metric_for_best_model", "loss", "what there always is")
            worse = values["metric_for_best_model"].endswith(("loss", "perplexity"))
            _derive(values, places, "greater_is_better", not worse, "metric_for_best_model")


def _in_table_order(values: dict[str, Any]) -> dict[str, Any]:
    return {name: values[name] for name in KEYS if name in values}


def _derive(values: dict[str, Any], places: dict[str, Place], name: str, value: Any, rule: str) -> None:
    if name not in values:
        values[name] = value
        places[name] = Place(f"{DEFAULT} ({rule})")
