"""What a model's ``config.json`` says about its layers: their sizes, and how many weights there are to hold and to train.

Only architectures are known whose counts are compared with the real ones in the tests; of others nothing is said.
"""

from typing import Any, NamedTuple

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
_NORMS_OF_HEADS = frozenset({"qwen3", "gemma3_text", "qwen3_moe"})
_FOUR_NORMS = frozenset({"gemma2", "gemma3_text"})
# Models of which a bias on all four attention matrices can be asked for in config.json.
_BIAS_BY_CHOICE = frozenset(
    {"llama", "qwen3", "gemma", "gemma2", "gemma3_text", "smollm3", "granite", "qwen3_moe"}
)
_MLP_BIAS_BY_CHOICE = frozenset({"llama", "smollm3", "granite"})


class UnknownShapeError(Exception):
    """The sizes of a model cannot be told; the text is a sentence for the user."""


class Linear(NamedTuple):
    """One matrix of a layer; linears with the same ``source`` read the same input."""

    name: str
    inputs: int
    outputs: int
    has_bias: bool
    source: str

    @property
    def weights(self) -> int:
        """The number of its weights, without the bias."""
        return self.inputs * self.outputs


class Experts(NamedTuple):
    """The feed-forward networks of a layer of which each token takes some, and the router that chooses them."""

    number: int
    active: int
    width: int
    # The names in lora_target by which peft puts adapters on them; none where it leaves them out.
    adapted_by: tuple[str, ...] = ()

    def gate_and_up(self, hidden: int) -> int:
        """The weights of the first, fused matrices of all experts."""
        return self.number * 2 * self.width * hidden

    def down(self, hidden: int) -> int:
        """The weights of the second matrices of all experts."""
        return self.number * self.width * hidden

    def router(self, hidden: int) -> int:
        """The weights of the router."""
        return self.number * hidden


class ModelShape(NamedTuple):
    """The sizes of a decoder-only model; with experts, ``intermediate`` is the width of the one that all tokens take."""

    model_type: str
    vocabulary: int
    hidden: int
    intermediate: int
    layers: int
    heads: int
    key_heads: int
    head_dim: int
    tied: bool
    attention_dropout: float
    caps_logits: bool
    linears: tuple[Linear, ...]
    experts: Experts | None = None

    @property
    def expert_weights(self) -> int:
        """The weights of all experts and routers, which quantization leaves as they are."""
        return self.layers * sum(self.expert_parts.values())

    @property
    def expert_parts(self) -> dict[str, int]:
        """The weights of the experts of one layer, by name."""
        if self.experts is None:
            return {}
        return {
            "mlp.experts.gate_up_proj": self.experts.gate_and_up(self.hidden),
            "mlp.experts.down_proj": self.experts.down(self.hidden),
            "mlp.gate": self.experts.router(self.hidden),
        }

    @property
    def query_width(self) -> int:
        """The width of all query heads together."""
        return self.heads * self.head_dim

    @property
    def key_width(self) -> int:
        """The width of all key heads together, which is that of the values too."""
        return self.key_heads * self.head_dim

    @property
    def norms_per_layer(self) -> int:
        """How often a layer normalises the hidden states."""
        return 4 if self.model_type in _FOUR_NORMS else 2

    @property
    def caps_scores(self) -> bool:
        """Whether attention caps its scores, for which transformers has no kernel but FlashAttention."""
        return self.model_type == "gemma2"

    @property
    def has_head_norms(self) -> bool:
        """Whether queries and keys are normalised head by head."""
        return self.model_type in _NORMS_OF_HEADS

    @property
    def embedding_weights(self) -> int:
        """The weights at the ends of the vocabulary: two matrices, or one where they are tied."""
        return self.vocabulary * self.hidden * (1 if self.tied else 2)

    @property
    def linear_weights(self) -> int:
        """The weights of all matrices in the layers: what quantization packs."""
        return self.layers * sum(linear.weights for linear in self.linears)

    @property
    def layer_parts(self) -> dict[str, int]:
        """The weights of each matrix (with its bias) and norm of a layer, by name."""
        parts = {
            linear.name: linear.weights + (linear.outputs if linear.has_bias else 0)
            for linear in self.linears
        }
        names = ["input_layernorm", "post_attention_layernorm"]
        if self.norms_per_layer == 4:
            names += ["pre_feedforward_layernorm", "post_feedforward_layernorm"]
        parts |= dict.fromkeys(names, self.hidden) | self.expert_parts
        if self.has_head_norms:
            parts |= {"self_attn.q_norm": self.head_dim, "self_attn.k_norm": self.head_dim}
        return parts

    @property
    def layer_weights(self) -> int:
        """All weights of one layer."""
        return sum(self.layer_parts.values())

    @property
    def small_weights(self) -> int:
        """Norms and biases."""
        biases = sum(linear.outputs for linear in self.linears if linear.has_bias)
        norms = self.norms_per_layer * self.hidden + (2 * self.head_dim if self.has_head_norms else 0)
        return self.layers * (norms + biases) + self.hidden

    @property
    def total_weights(self) -> int:
        """All weights, tied ones once."""
        return self.embedding_weights + self.linear_weights + self.expert_weights + self.small_weights


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
