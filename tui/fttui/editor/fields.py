"""The rows of the form: every key with its value, where that came from, and what is wrong with it."""

from typing import NamedTuple

from fttui.editor.edits import bare
from fttui.editor.written import shown, shown_value
from fttui_engine.spec.document import parse_node
from fttui_engine.spec.findings import Finding, Findings
from fttui_engine.spec.keys import GROUPS, KEYS, Key
from fttui_engine.spec.layers import Entry
from fttui_engine.spec.nodes import DocumentError, Scalar
from fttui_engine.spec.resolved import Resolved
from fttui_engine.spec.values import MismatchError, convert

COMMON = frozenset(
    {
        "model_name_or_path",
        "quantization_bit",
        "stage",
        "finetuning_type",
        "lora_rank",
        "lora_target",
        "adapter_name_or_path",
        "dataset",
        "eval_dataset",
        "template",
        "cutoff_len",
        "packing",
        "val_size",
        "per_device_train_batch_size",
        "gradient_accumulation_steps",
        "learning_rate",
        "num_train_epochs",
        "max_steps",
        "lr_scheduler_type",
        "warmup_ratio",
        "bf16",
        "gradient_checkpointing",
        "output_dir",
        "save_steps",
        "save_total_limit",
        "eval_strategy",
        "eval_steps",
        "run.gpus",
        "run.strategy",
    }
)
"""What nearly every run decides; the form begins with these and with what is set."""

OTHER = "other keys of the file"

WORDS = {
    "model": "Model",
    "tuning": "What is trained",
    "preference": "Preference (rm, dpo, kto)",
    "ppo": "PPO",
    "data": "Data",
    "training": "Training",
    "precision": "Precision and speed",
    "saving": "Saving and evaluating",
    "generation": "Generation",
    "export": "Export",
    "ranks": "Several processes",
    "run": "The run",
    OTHER: "Other keys of the file",
}


_NOTHING = Scalar("", 1)


class Remark(NamedTuple):
    """What is said of a key, and the line of the text that it is about."""

    severity: str
    """``error``, ``warning``, or ``note`` for what was read as something else or has no effect."""
    message: str
    line: int | None = None


class Field(NamedTuple):
    """One key of the form; ``origin`` is ``default``, ``profile``, ``file`` or ``edit``."""

    name: str
    group: str
    value: str
    origin: str
    """The layer in one word."""
    place: str = ""
    """The layer in full, such as ``file demo.yaml:12``."""
    base: str = ""
    """What the value would be without the file: the profile's, or the default."""
    remarks: tuple[Remark, ...] = ()

    @property
    def key(self) -> Key | None:
        """What the table says of it; a key that is nobody's has no entry."""
        return KEYS.get(self.name)

    @property
    def is_written(self) -> bool:
        """Whether the file says something about it."""
        return self.origin in ("file", "edit")

    @property
    def differs(self) -> bool:
        """Whether the file says something else than would hold without it; ``all`` is ``[all]``, and 3.0 is 3."""
        if not self.is_written or self.key is None or self.value == self.base:
            return False
        try:
            here, there = (
                convert(self.key, parse_node(text) or _NOTHING) for text in (self.value, self.base)
            )
        except (DocumentError, MismatchError):
            return True
        return bool(here != there)

    @property
    def has_error(self) -> bool:
        """Whether it keeps the run from starting."""
        return any(remark.severity == "error" for remark in self.remarks)


class Layers(NamedTuple):
    """What profile, file and the file as it was saved say, by today's names."""

    profile: dict[str, Entry]
    file: dict[str, Entry]
    saved: dict[str, Entry]


def make_fields(resolved: Resolved, layers: Layers, file_layer: str) -> tuple[Field, ...]:
    """Return every key in the order of the form, and behind them those of the file that are nobody's."""
    remarks = remarks_by_key(resolved.findings, file_layer)
    sources = _Sources(resolved.origins, _flat(resolved), layers, remarks)
    fields = [_field(key, group, sources) for group, keys in GROUPS.items() for key in keys]
    others = [name for name in layers.file if name not in KEYS]
    # Keys without effect that stand in a block of another project are named by their paths.
    others += [
        each.key for each in resolved.findings.ignored if each.key not in KEYS and each.key not in others
    ]
    for name in others:
        entry = layers.file.get(name)
        value = shown(entry.node) if entry else ""
        fields.append(Field(name, OTHER, value, _written_origin(name, layers), "", "", remarks.get(name, ())))
    return tuple(fields)


def remarks_by_key(findings: Findings, file_layer: str) -> dict[str, tuple[Remark, ...]]:
    """Return what is said of each key; lines are those of the file only."""
    found: dict[str, list[Remark]] = {}

    def add(finding: Finding, severity: str) -> None:
        line = finding.line if finding.layer == file_layer else None
        found.setdefault(finding.key, []).append(Remark(severity, finding.message, line))

    for error in findings.errors:
        add(error, "error")
    for warning in findings.warnings:
        add(warning, "warning")
    for item in findings.translated:
        name = item.new.partition(":")[0]
        text = f"{item.old} is read as {item.new}: {item.why}."
        found.setdefault(name, []).append(Remark("note", text, item.line))
    for left in findings.ignored:
        found.setdefault(left.key, []).append(
            Remark("note", f"{left.key} has no effect: {left.why}.", left.line)
        )
    return {key: tuple(remarks) for key, remarks in found.items()}


def best_found(fields: tuple[Field, ...], words: str) -> str:
    """Return the key that a search is probably for: one whose name begins or ends with the words, or has them."""
    word = "_".join(words.lower().split())
    for is_it in (str.__eq__, str.startswith, str.endswith, str.__contains__):
        if found := next((each.name for each in fields if is_it(each.name, word)), ""):
            return found
    return fields[0].name if fields else ""


def chosen_fields(fields: tuple[Field, ...], *, every: bool, words: str, also: str = "") -> tuple[Field, ...]:
    """Return the fields to show: those that are set or common and one more, all, or those that a search finds."""
    wanted = words.lower().split()
    if wanted:
        return tuple(each for each in fields if all(word in _searched(each) for word in wanted))
    if every:
        return fields
    return tuple(
        each
        for each in fields
        if each.origin != "default" or each.remarks or each.name in COMMON or each.name == also
    )


def _searched(field: Field) -> str:
    help_text = field.key.help if field.key else ""
    return f"{field.name} {field.group} {WORDS.get(field.group, '')} {help_text} {field.value}".lower()


class _Sources(NamedTuple):
    origins: dict[str, str]
    values: dict[str, object]
    layers: Layers
    remarks: dict[str, tuple[Remark, ...]]


def _field(key: Key, group: str, sources: _Sources) -> Field:
    name, layers = key.name, sources.layers
    place = sources.origins.get(name, "default")
    above = layers.profile.get(name)
    if name in layers.file:
        origin, value = _written_origin(name, layers), shown(layers.file[name].node)
        place = f"line {layers.file[name].place.line}"
    elif above is not None and not place.startswith("default"):
        # A profile's precision follows the cards of this host, so its word is not always the last.
        is_last = above.place.origin == place
        origin, value = "profile", shown(above.node) if is_last else shown_value(sources.values.get(name))
    else:
        origin, value = "default", shown_value(sources.values.get(name))
    base = shown(above.node) if above else shown_value(key.default)
    return Field(name, group, value, origin, place, base, sources.remarks.get(name, ()))


def _written_origin(name: str, layers: Layers) -> str:
    now, saved = layers.file.get(name), layers.saved.get(name)
    if now is None:
        return "file"
    return "file" if saved is not None and bare(saved.node) == bare(now.node) else "edit"


def _flat(resolved: Resolved) -> dict[str, object]:
    values: dict[str, object] = dict(resolved.values)
    run = resolved.values.get("run", {})
    values |= {f"run.{name}": value for name, value in run.items()}
    restart = run.get("restart") if isinstance(run, dict) else None
    if isinstance(restart, dict):
        values |= {f"run.restart.{name}": value for name, value in restart.items()}
    return values
