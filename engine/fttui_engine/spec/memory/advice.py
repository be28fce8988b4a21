"""What to change so that a run fits: the change that costs the user least comes first."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from fttui_engine.hardware.capability import best_precision, rules_for
from fttui_engine.spec.keys import KEYS
from fttui_engine.spec.lint.ranks import DIVISIBLE_OPTIMIZERS, DIVISIBLE_STAGES
from fttui_engine.spec.memory.model_shape import ModelShape, UnknownShapeError
from fttui_engine.spec.memory.peak import KNOWN_ERROR, Prediction, predict
from fttui_engine.spec.memory.workload import read_workload

Values = dict[str, Any]
# Shorter examples than this hold no conversation.
LEAST_CUTOFF_LEN = 256
LEAST_ANSWER_LEN = 64
# A change that saves less than this is not worth a line.
LEAST_SAVING = 0.01
EIGHT_BIT_OPTIMIZER = "adamw_8bit"


class Advice(NamedTuple):
    """A change of the configuration, what it leads to, and what it costs."""

    changes: Values
    cost: str
    predicted_bytes: int
    fits: bool
    # It fits, but by less than predictions are known to be too low.
    is_tight: bool

    def to_json(self) -> dict[str, Any]:
        """The advice as ``fttui check --json`` prints it."""
        return self._asdict()


class Device(NamedTuple):
    """Where the run is going to be: what decides which changes are possible."""

    free_bytes: int
    on_cpu: bool
    processes: int
    compute_capability: tuple[int, int] | None
    # All that this host has, of which the run may have fewer.
    visible_gpus: int = 1
    # What fits by less than this part of the prediction is tight.
    reserve: float = KNOWN_ERROR


def with_changes(values: Values, changes: Values) -> Values:
    """``values`` with these changes; keys of the run: block are written with dots."""
    changed = dict(values)
    for key, value in changes.items():
        if key.startswith("run."):
            changed["run"] = {**changed.get("run", {}), key.removeprefix("run."): value}
        else:
            changed[key] = value
    return changed


Step = Callable[[Values, Prediction, Device], Iterator[tuple[Values, str]]]


def advise(shape: ModelShape, values: Values, device: Device) -> list[Advice]:
    """What to change so that the run fits, best first; nothing when it fits or when no change helps.

    Changes that suffice by themselves come first, and where all of these are tight, a row of changes that leaves room.
    If no single one suffices, the first advice is the shortest row that does, and single changes follow by what they
    save.
    """
    before = _predict(shape, values, device)
    if before.predicted_bytes <= device.free_bytes:
        return []
    singles = [advice for step in STEPS if (advice := _best(shape, values, before, device, step))]
    enough = [advice for advice in singles if advice.fits]
    if enough:
        roomy = (
            _together(shape, values, device, with_room=True) if all(one.is_tight for one in enough) else None
        )
        return [*enough, *([roomy] if roomy else [])]
    together = _together(shape, values, device, with_room=False)
    return [*([together] if together else []), *sorted(singles, key=lambda advice: advice.predicted_bytes)]


def _predict(shape: ModelShape, values: Values, device: Device) -> Prediction:
    gpus = values.get("run", {}).get("gpus")
    # Advice may take more GPUs than the run was given.
    processes = gpus if isinstance(gpus, int) and gpus > device.processes else device.processes
    work = read_workload(values, shape, on_cpu=device.on_cpu, processes=processes)
    return predict(shape, work)


def _best(shape: ModelShape, values: Values, before: Prediction, device: Device, step: Step) -> Advice | None:
    """The mildest form of one kind of change that suffices with room to spare, or its strongest form."""
    best: Advice | None = None
    for changes, cost in step(values, before, device):
        try:
            after = _predict(shape, with_changes(values, changes), device).predicted_bytes
        except UnknownShapeError:
            continue
        best = _advice(changes, cost, after, device)
        if best.fits and not best.is_tight:
            break
    if best is None or best.predicted_bytes > (1 - LEAST_SAVING) * before.predicted_bytes:
        return None
    return best


def _together(shape: ModelShape, values: Values, device: Device, *, with_room: bool) -> Advice | None:
    """Changes one after the other, the mildest first, until the run fits; None when even all do not suffice."""
    if with_room:
        device = device._replace(free_bytes=int(device.free_bytes / (1 + KNOWN_ERROR)), reserve=0.0)
    taken: dict[Step, Advice] = {}
    while True:
        changed = with_changes(values, _changes(taken.values()))
        before = _predict(shape, changed, device)
        # One change can make others worth while: a small batch saves nothing where the optimizer is the peak.
        found = (
            (step, advice)
            for step in STEPS
            if step not in taken and (advice := _best(shape, changed, before, device, step))
        )
        step, advice = next(found, (None, None))
        if step is None or advice is None:
            return None
        taken[step] = advice
        if advice.fits:
            return _without_needless(shape, values, device, list(taken.values()))


def _without_needless(shape: ModelShape, values: Values, device: Device, taken: list[Advice]) -> Advice:
    """One advice from several, without those that a later one made needless."""
    for advice in list(taken):
        others = [other for other in taken if other is not advice]
        if others and _suffices(shape, with_changes(values, _changes(others)), device):
            taken = others
    changes = _changes(taken)
    cost = "; ".join(dict.fromkeys(advice.cost for advice in taken))
    return _advice(
        changes, cost, _predict(shape, with_changes(values, changes), device).predicted_bytes, device
    )


def _advice(changes: Values, cost: str, predicted_bytes: int, device: Device) -> Advice:
    fits = predicted_bytes <= device.free_bytes
    is_tight = fits and predicted_bytes * (1 + device.reserve) > device.free_bytes
    return Advice(changes, cost, predicted_bytes, fits, is_tight)


def _suffices(shape: ModelShape, values: Values, device: Device) -> bool:
    try:
        return _predict(shape, values, device).predicted_bytes <= device.free_bytes
    except UnknownShapeError:
        # Without the adapter, for one, packed weights cannot be trained at all.
        return False


def _changes(taken: Iterable[Advice]) -> Values:
    return {key: value for advice in taken for key, value in advice.changes.items()}


def _smaller_evaluation(values: Values, before: Prediction, _: Device) -> Iterator[tuple[Values, str]]:
    size = values["per_device_eval_batch_size"]
    while before.moment == "evaluation" and size > 1:
        size //= 2
        yield {"per_device_eval_batch_size": size}, "evaluation takes a little longer"


def _sixteen_bits(values: Values, _: Prediction, device: Device) -> Iterator[tuple[Values, str]]:
    if values["bf16"] or values["fp16"] or values["pure_bf16"] or device.on_cpu:
        return
    if device.compute_capability is None:
        return
    best = best_precision([device.compute_capability])
    if best is not None:
        yield {best: True}, "faster as well; the usual precision on this GPU"


def _checkpointing(values: Values, _: Prediction, __: Device) -> Iterator[tuple[Values, str]]:
    if not values["gradient_checkpointing"]:
        yield {"gradient_checkpointing": True}, "the same result, 20 to 27 % slower"


def _smaller_batch(values: Values, _: Prediction, __: Device) -> Iterator[tuple[Values, str]]:
    size, accumulated = values["per_device_train_batch_size"], values["gradient_accumulation_steps"]
    while size > 1 and size % 2 == 0:
        size, accumulated = size // 2, accumulated * 2
        changes = {"per_device_train_batch_size": size, "gradient_accumulation_steps": accumulated}
        yield changes, "the same examples in each update, somewhat slower"
    if size > 1:
        changes = {"per_device_train_batch_size": 1, "gradient_accumulation_steps": accumulated * size}
        yield changes, "the same examples in each update, somewhat slower"


def _chunked_loss(values: Values, _: Prediction, __: Device) -> Iterator[tuple[Values, str]]:
    if values.get("chunked_loss") == "false" and values["stage"] in ("sft", "pt"):
        yield {"chunked_loss": "auto"}, "the same result to rounding"


def _divided(values: Values, _: Prediction, device: Device) -> Iterator[tuple[Values, str]]:
    """FSDP divides weights, gradients and optimizer states among the GPUs; activations stay with each."""
    divides = values["run"].get("strategy") == "fsdp" or values.get("fsdp", "no") != "no"
    divides = divides or bool(values.get("deepspeed"))
    if device.on_cpu or divides or values.get("quantization_bit") == 8:
        return
    if values["stage"] not in DIVISIBLE_STAGES or values["optim"] not in DIVISIBLE_OPTIMIZERS:
        return
    if device.processes > 1:
        yield {"run.strategy": "fsdp"}, "the same result; every layer travels between the GPUs at every step"
    elif device.visible_gpus > 1:
        changes = {"run.gpus": device.visible_gpus, "run.strategy": "fsdp"}
        yield (
            changes,
            f"divides the model among {device.visible_gpus} GPUs; the batch is that many times as large",
        )


def _smaller_optimizer(values: Values, _: Prediction, __: Device) -> Iterator[tuple[Values, str]]:
    if values["run"].get("strategy") == "fsdp":
        # It cannot divide states in 8 bits.
        return
    if values["optim"].startswith("adamw_torch") or values["optim"] == "paged_adamw_32bit":
        yield {"optim": EIGHT_BIT_OPTIMIZER}, "nearly the same result; needs bitsandbytes"


def _adapter(values: Values, _: Prediction, __: Device) -> Iterator[tuple[Values, str]]:
    if values["finetuning_type"] == "full":
        yield (
            {"finetuning_type": "lora"},
            "trains an adapter and not all weights; learning_rate about 10 times higher",
        )


def _four_bits(values: Values, _: Prediction, device: Device) -> Iterator[tuple[Values, str]]:
    if values["finetuning_type"] != "lora" or values.get("quantization_bit") == 4:
        return
    if device.compute_capability is not None and not rules_for(device.compute_capability).has_four_bit:
        return
    later = "" if "quantization_bit" in KEYS else "needs a later release of fttui; "
    yield {"quantization_bit": 4}, later + "20 to 40 % slower, a slightly worse model"


def _fewer_modules(values: Values, _: Prediction, __: Device) -> Iterator[tuple[Values, str]]:
    if values["finetuning_type"] != "lora":
        return
    if values.get("additional_target"):
        yield {"additional_target": None}, "trains the adapter only"
    if values["lora_target"] == ["all"]:
        yield {"lora_target": ["q_proj", "v_proj"], "additional_target": None}, "an adapter that learns less"


def _shorter_examples(values: Values, _: Prediction, __: Device) -> Iterator[tuple[Values, str]]:
    length = values["cutoff_len"]
    while length // 2 >= LEAST_CUTOFF_LEN:
        length //= 2
        cost = f"longer examples are cut after {length} tokens"
        yield {"cutoff_len": length}, "longer questions are left out" if values["stage"] == "ppo" else cost


def _shorter_answers(values: Values, _: Prediction, __: Device) -> Iterator[tuple[Values, str]]:
    length = values["max_new_tokens"]
    while values["stage"] == "ppo" and length // 2 >= LEAST_ANSWER_LEN:
        length //= 2
        yield {"max_new_tokens": length}, f"answers end after {length} tokens"


# From what changes nothing about the result to what changes it most.
STEPS: tuple[Step, ...] = (
    _smaller_evaluation,
    _chunked_loss,
    _sixteen_bits,
    _smaller_batch,
    _checkpointing,
    # Before the 8-bit optimizer, whose states FSDP cannot divide.
    _divided,
    _smaller_optimizer,
    _adapter,
    _four_bits,
    _shorter_answers,
    _shorter_examples,
    _fewer_modules,
)
