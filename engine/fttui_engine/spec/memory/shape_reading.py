"""What a model's ``config.json`` says about the sizes of its layers.

Only architectures are known whose counts are compared with the real ones in the tests; of others nothing is said.
"""

from typing import Any

from fttui_engine.spec.memory.model_shape import Experts, Linear, ModelShape, UnknownShapeError

# The dense models whose decoder layers are built like Llama's, by their model_type.
KNOWN_TYPES = (
    "llama",
    "mistral",
    "qwen2",
    "qwen3",
    "gemma",
    "gemma2",
    "gemma3_text",
    "phi3",
    "smollm3",
    "granite",
)
# Those of which some matrices exist many times, and each token goes through a few of them.
EXPERT_TYPES = ("mixtral", "qwen2_moe", "qwen3_moe")
# What peft takes for the matrices of all experts, which transformers 5 keeps in two.
_ADAPTED_BY: dict[str, tuple[str, ...]] = {
    "mixtral": ("w1", "w2", "w3"),
    "qwen2_moe": (),
    "qwen3_moe": ("gate_proj", "up_proj", "down_proj"),
}
# Where config.json is silent, transformers takes these.
_TIED_BY_DEFAULT = frozenset({"gemma", "gemma2", "gemma3_text", "smollm3"})
_HEAD_DIM_BY_DEFAULT = {"qwen3": 128, "gemma": 256, "gemma2": 256, "gemma3_text": 256}
# Models of which a bias on all four attention matrices can be asked for in config.json.
_BIAS_BY_CHOICE = frozenset(
    {"llama", "qwen3", "gemma", "gemma2", "gemma3_text", "smollm3", "granite", "qwen3_moe"}
)
_MLP_BIAS_BY_CHOICE = frozenset({"llama", "smollm3", "granite"})


def read_shape(config: dict[str, Any]) -> ModelShape:
    """The sizes behind the content of ``config.json``; raises UnknownShapeError where they are not certain."""
    model_type = config.get("model_type")
    if model_type not in KNOWN_TYPES + EXPERT_TYPES:
        known = ", ".join(KNOWN_TYPES + EXPERT_TYPES)
        raise UnknownShapeError(
            f"Memory is not predicted for models of type {model_type!s:.40}; known are {known}."
        )
    if config.get("quantization_config"):
        raise UnknownShapeError("Memory is not predicted for a model that is stored quantized.")
    hidden = _size(config, "hidden_size")
    heads = _size(config, "num_attention_heads")
    # Only these two take it from num_attention_heads where it is missing; others have fixed numbers of their own.
    key_heads = (
        heads
        if config.get("num_key_value_heads") is None and model_type in ("llama", "phi3")
        else _size(config, "num_key_value_heads")
    )
    head_dim = (
        _HEAD_DIM_BY_DEFAULT.get(model_type, hidden // heads)
        if config.get("head_dim") is None
        else _size(config, "head_dim")
    )
    shape = ModelShape(
        model_type=model_type,
        vocabulary=_size(config, "vocab_size"),
        hidden=hidden,
        intermediate=_common_width(config),
        layers=_size(config, "num_hidden_layers"),
        heads=heads,
        key_heads=key_heads,
        head_dim=head_dim,
        tied=bool(config.get("tie_word_embeddings", model_type in _TIED_BY_DEFAULT)),
        attention_dropout=float(config.get("attention_dropout") or 0.0),
        caps_logits=bool(config.get("final_logit_softcapping")),
        linears=(),
        experts=_experts(config),
    )
    return shape._replace(linears=_linears(shape, config))


def _size(config: dict[str, Any], key: str) -> int:
    value = config.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < value < 10**9:
        raise UnknownShapeError(f"The model's config.json has no usable {key}.")
    return value


def _experts(config: dict[str, Any]) -> Experts | None:
    model_type = config["model_type"]
    if model_type not in EXPERT_TYPES:
        return None
    if config.get("decoder_sparse_step", 1) != 1 or config.get("mlp_only_layers"):
        raise UnknownShapeError("Memory is not predicted for a model of which only some layers have experts.")
    is_mixtral = model_type == "mixtral"
    # transformers 5 saves the number of qwen3_moe's under the other name.
    names = ("num_local_experts", "num_experts")
    name = names[0] if is_mixtral or config.get(names[0]) is not None else names[1]
    return Experts(
        _size(config, name),
        _size(config, "num_experts_per_tok"),
        _size(config, "intermediate_size" if is_mixtral else "moe_intermediate_size"),
        _ADAPTED_BY[model_type],
    )


def _common_width(config: dict[str, Any]) -> int:
    """The width of the feed-forward network that every token takes; 0 where there are experts only."""
    match config["model_type"]:
        case "mixtral" | "qwen3_moe":
            return 0
        case "qwen2_moe":
            return _size(config, "shared_expert_intermediate_size")
        case _:
            return _size(config, "intermediate_size")


def _linears(shape: ModelShape, config: dict[str, Any]) -> tuple[Linear, ...]:
    hidden, wide = shape.hidden, shape.intermediate
    query, key = shape.query_width, shape.key_width
    if shape.model_type == "phi3":
        return (
            Linear("self_attn.qkv_proj", hidden, query + 2 * key, False, "attention"),
            Linear("self_attn.o_proj", query, hidden, False, "heads"),
            Linear("mlp.gate_up_proj", hidden, 2 * wide, False, "mlp"),
            Linear("mlp.down_proj", wide, hidden, False, "product"),
        )
    chosen = shape.model_type in _BIAS_BY_CHOICE and bool(config.get("attention_bias"))
    bias = (
        chosen
        or shape.model_type == "qwen2"
        or (shape.model_type == "qwen2_moe" and config.get("qkv_bias", True))
    )
    mlp_bias = shape.model_type in _MLP_BIAS_BY_CHOICE and bool(config.get("mlp_bias"))
    attention = (
        Linear("self_attn.q_proj", hidden, query, bias, "attention"),
        Linear("self_attn.k_proj", hidden, key, bias, "attention"),
        Linear("self_attn.v_proj", hidden, key, bias, "attention"),
        Linear("self_attn.o_proj", query, hidden, chosen, "heads"),
    )
    if shape.experts:
        common = "mlp.shared_expert"
        return (
            attention
            if not wide
            else (
                *attention,
                Linear(f"{common}.gate_proj", hidden, wide, False, "mlp"),
                Linear(f"{common}.up_proj", hidden, wide, False, "mlp"),
                Linear(f"{common}.down_proj", wide, hidden, False, "product"),
                Linear(f"{common}_gate", hidden, 1, False, "mlp"),
            )
        )
    return (
        *attention,
        Linear("mlp.gate_proj", hidden, wide, mlp_bias, "mlp"),
        Linear("mlp.up_proj", hidden, wide, mlp_bias, "mlp"),
        Linear("mlp.down_proj", wide, hidden, mlp_bias, "product"),
    )
