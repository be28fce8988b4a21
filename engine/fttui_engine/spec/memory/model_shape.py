"""The sizes of a model's layers, and how many weights there are to hold and to train."""

from typing import NamedTuple

_NORMS_OF_HEADS = frozenset({"qwen3", "gemma3_text", "qwen3_moe"})
_FOUR_NORMS = frozenset({"gemma2", "gemma3_text"})


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
