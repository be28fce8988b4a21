"""How many weights a run trains: of adapters, of whole modules beside them, of chosen layers."""

from functools import lru_cache
from typing import NamedTuple

from fttui_engine.spec.memory.model_shape import Experts, ModelShape, UnknownShapeError


class Trained(NamedTuple):
    """What a method trains."""

    adapter_weights: int
    # Copies of whole modules (additional_target).
    module_weights: int
    # Of these, the embeddings, which 8-bit optimizers leave at 32 bits.
    embedding_weights: int
    # Of the modules, the weights that are multiplied with, which autocast makes 16-bit copies of.
    product_weights: int
    # Names of the linears of a layer that have an adapter, or are trained themselves.
    targets: frozenset[str]
    # Layers, counted from the last one down, that the backward pass goes through.
    layers_in_backward: int = 0
    # Of these, the layers of which something is trained itself (freeze).
    trained_layers: int = 0
    trains_norms: bool = False
    trains_head: bool = False
    # Whether the experts of a mixture learn, by adapters or themselves.
    trains_experts: bool = False
    # Under oft, the numbers of the rotations of one layer: all blocks of all its linears, as square matrices.
    rotation_numbers: int = 0


# Advice predicts some 30 variants of one run, nearly all with the same adapter; 80 layers take 0.5 ms each time.
@lru_cache(maxsize=32)
def adapter_weights(
    shape: ModelShape,
    rank: int,
    targets: "tuple[str, ...]",
    modules: "tuple[str, ...]",
    *,
    lengths: bool = False,
) -> Trained:
    """What LoRA of this rank trains, with DoRA the ``lengths`` of columns too.

    Raises UnknownShapeError for targets that the model does not have.
    """
    adapted: dict[str, int] = {}
    for full_name, inputs, outputs in _places(shape):
        is_layer = full_name.startswith("model.layers.")
        short = full_name.split(".", 3)[3] if is_layer else full_name
        if is_layer if targets == ("all",) else _is_meant(full_name, targets):
            size = rank * (inputs + outputs) + (outputs if lengths else 0)
            adapted[short] = adapted.get(short, 0) + size
    experts = shape.experts if _adapts_experts(shape, targets) else None
    if experts:
        if lengths:
            raise UnknownShapeError(
                "DoRA does not work with the adapters of experts; name other layers in lora_target."
            )
        with_router = targets == ("all",)
        adapted["mlp.experts"] = shape.layers * _of_experts(
            experts, shape.hidden, rank, with_router=with_router
        )
    if not adapted:
        raise UnknownShapeError(f"lora_target: {', '.join(targets)} is none of this model's layers.")
    others = sum(
        inputs * outputs
        for name, inputs, outputs in _places(shape)
        if name.startswith("model.layers.") and _is_meant(name, modules)
    )
    if unknown := [
        module for module in modules if not any(_is_meant(n, (module,)) for n, _, _ in _places(shape))
    ]:
        raise UnknownShapeError(f"additional_target: {unknown[0]} is none of the layers whose size is known.")
    ends = shape.vocabulary * shape.hidden
    # Where the ends are tied, one copy serves both.
    chosen = sum(_is_meant(name, modules) for name in ("model.embed_tokens", "lm_head"))
    copied = min(chosen, 1 if shape.tied else 2) * ends
    has_embeddings = _is_meant("model.embed_tokens", modules) or (shape.tied and chosen > 0)
    return Trained(
        sum(adapted.values()),
        copied + others,
        ends if has_embeddings else 0,
        others + (ends if shape.tied and chosen else ends * _is_meant("lm_head", modules)),
        frozenset(linear.name for linear in shape.linears) & adapted.keys(),
        layers_in_backward=shape.layers,
        trains_head=_is_meant("lm_head", modules) or (shape.tied and chosen > 0),
        trains_experts=experts is not None,
    )


def _adapts_experts(shape: ModelShape, targets: "tuple[str, ...]") -> bool:
    """Whether peft puts adapters on the experts: with all layers, or by the names that their matrices once had."""
    if shape.experts is None or not shape.experts.adapted_by:
        return False
    named = {target.rpartition(".")[2] for target in targets}
    found = named & {*shape.experts.adapted_by, "gate"}
    if found and found != set(shape.experts.adapted_by):
        raise UnknownShapeError(
            f"Memory is not predicted for adapters on {', '.join(sorted(found))} of experts alone."
        )
    return bool(found) or targets == ("all",)


def _of_experts(experts: Experts, hidden: int, rank: int, *, with_router: bool) -> int:
    """The adapters of one layer's experts: of twice the rank for the two fused matrices, and one for the router."""
    first = 2 * rank * experts.number * (hidden + 2 * experts.width)
    second = rank * experts.number * (experts.width + hidden)
    return first + second + rank * (hidden + experts.number) * with_router


def rotation_weights(shape: ModelShape, blocks: int, width: int, targets: "tuple[str, ...]") -> Trained:
    """What OFT trains: half of each square block; ``blocks`` of them for each input, or where that is 0 of one ``width``."""
    if shape.experts:
        raise UnknownShapeError("Memory is not predicted for finetuning_type: oft on a mixture of experts.")
    found = [
        linear for linear in shape.linears if targets == ("all",) or _is_meant(f"x.{linear.name}", targets)
    ]
    names = {target.rpartition(".")[2] for target in targets} - {
        linear.name.rpartition(".")[2] for linear in found
    }
    if names - {"all"} or not found:
        raise UnknownShapeError(
            f"oft_target: {', '.join(sorted(names))} is none of the layers whose size is known."
        )
    weights = rotations = 0
    for linear in found:
        if linear.inputs % (blocks or width):
            raise UnknownShapeError(
                f"{linear.name} has {linear.inputs} inputs, of which blocks of oft are no whole part."
            )
        block = linear.inputs // blocks if blocks else width
        weights += linear.inputs * (block - 1) // 2
        rotations += linear.inputs * block
    return Trained(
        shape.layers * weights,
        0,
        0,
        0,
        frozenset(linear.name for linear in found),
        layers_in_backward=shape.layers,
        rotation_numbers=rotations,
    )


def _places(shape: ModelShape) -> list[tuple[str, int, int]]:
    """Every module that can have an adapter: full name, inputs, outputs."""
    places = [
        (f"model.layers.{layer}.{linear.name}", linear.inputs, linear.outputs)
        for layer in range(shape.layers)
        for linear in shape.linears
    ]
    ends = (shape.vocabulary, shape.hidden)
    return [*places, ("model.embed_tokens", *ends), ("lm_head", *ends)]


def _is_meant(full_name: str, targets: "tuple[str, ...]") -> bool:
    """Whether peft takes ``full_name`` for one of the targets: equal, or its last parts are."""
    return any(full_name == target or full_name.endswith("." + target) for target in targets)


def all_weights(shape: ModelShape, *, with_head: bool = True) -> Trained:
    """What full fine-tuning trains; a reward model's language head rests, unless it is the embeddings as well."""
    ends = shape.vocabulary * shape.hidden
    resting = 0 if with_head or shape.tied else ends
    return Trained(
        0,
        shape.total_weights - resting,
        ends,
        shape.linear_weights + (ends if with_head else 0),
        frozenset(linear.name for linear in shape.linears),
        shape.layers,
        shape.layers,
        trains_norms=True,
        trains_head=with_head,
        trains_experts=shape.experts is not None,
    )


def frozen_but_some(
    shape: ModelShape, layers: int, parts: "tuple[str, ...]", extra: "tuple[str, ...]"
) -> Trained:
    """What freeze trains: these parts of the last layers (the first ones where negative), and extra modules."""
    if shape.experts:
        raise UnknownShapeError(
            "Memory is not predicted for finetuning_type: freeze on a mixture of experts."
        )
    count = min(abs(layers), shape.layers)
    names = _names_of_parts(shape, parts)
    of_layer = shape.layer_parts
    matrices = [linear for linear in shape.linears if linear.name in names]
    ends = shape.vocabulary * shape.hidden
    sizes = {"embed_tokens": ends, "lm_head": ends, "norm": shape.hidden}
    if unknown := [name for name in extra if name not in sizes]:
        raise UnknownShapeError(
            f"freeze_extra_modules: {unknown[0]} is none of the modules whose size is known."
        )
    has_head, has_embeddings = "lm_head" in extra, "embed_tokens" in extra
    if shape.tied and (has_head or has_embeddings):
        has_head = has_embeddings = True
    copied = ends * (1 if shape.tied and has_head else has_head + has_embeddings)
    return Trained(
        0,
        count * sum(of_layer[name] for name in names) + copied + shape.hidden * ("norm" in extra),
        ends * has_embeddings,
        count * sum(linear.weights for linear in matrices) + ends * has_head,
        frozenset(linear.name for linear in matrices),
        layers_in_backward=shape.layers if layers < 0 or has_embeddings else count,
        trained_layers=count,
        trains_norms=len(names) > len(matrices),
        trains_head=has_head,
    )


def _names_of_parts(shape: ModelShape, parts: "tuple[str, ...]") -> set[str]:
    """The matrices and norms of a layer that these parts are, such as ``mlp`` or ``self_attn.q_proj``."""
    found: set[str] = set()
    for part in parts:
        names = {name for name in shape.layer_parts if part in ("all", name) or name.startswith(part + ".")}
        if not names:
            raise UnknownShapeError(f"freeze_trainable_modules: {part} is no part of this model's layers.")
        found |= names
    return found
