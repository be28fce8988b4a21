"""Cross entropy from hidden states, some tokens at a time, without ever holding the logits of a whole batch.

The logits of 2048 tokens over 128000 words take 1 GB in float32, and two or three such matrices are alive at once: more
than all layers of an 8B model with recomputed activations. Here the output layer sees a chunk of tokens, their loss is
taken, and the logits are thrown away; the backward pass computes them once more. Tokens that are not learned (prompts,
padding) never reach the output layer at all.
"""

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.nn.functional import cross_entropy, pad
from torch.utils.checkpoint import checkpoint

from fttui_engine.spec.config import TrainingConfig
from fttui_engine.train.data.tokenise import IGNORED_LABEL

# Of one chunk of logits in float32: enough rows to keep matrix units busy, little beside the weights of a model.
CHUNK_BYTES = 2**28
# Below this the plain loss is as good, and faster by the product that is not computed twice.
WORTHWHILE_BYTES = 2**29


def choose_loss(model: Any, config: TrainingConfig, log: Callable[[str], None]) -> bool:
    """Have the model compute its loss in chunks where that saves memory or was asked for; return whether it does."""
    is_weighted = config.stage == "sft" and (config.use_dft_loss or config.use_eaft_loss)
    if config.chunked_loss == "false" or config.stage not in ("sft", "pt") or is_weighted:
        return False
    vocabulary = model.config.get_text_config().vocab_size
    tokens = config.per_device_train_batch_size * config.cutoff_len
    logits_bytes = 4 * tokens * vocabulary
    if config.chunked_loss == "auto" and logits_bytes < WORTHWHILE_BYTES:
        return False
    causal = model.get_base_model() if hasattr(model, "get_base_model") else model
    chunked = ChunkedLoss(
        causal,
        chunk_tokens=max(1, CHUNK_BYTES // (4 * vocabulary)),
        label_smoothing=config.label_smoothing_factor,
        # Accuracy and metrics of the user's own are measured on the logits.
        in_evaluation=not (config.compute_accuracy or config.compute_metrics),
    )
    problem = chunked.problem()
    if problem is not None:
        log(f"loss: computed from all logits at once, because {problem}")
        return False
    chunked.install()
    reason = (
        "as asked"
        if config.chunked_loss == "true"
        else f"because the logits of a batch take up to {logits_bytes / 1e9:.1f} GB in float32"
    )
    log(f"loss: of {chunked.chunk_tokens} tokens at a time, {reason} (chunked_loss: false takes all at once)")
    return True


class ChunkedLoss:
    """The loss of a causal language model, from the hidden states that its output layer is given.

    The model's own ``forward`` stays in charge, so that wrappers, adapters, routers' extra losses and the recomputation
    of activations work as ever; only its output layer passes hidden states through, and its loss function, which is
    then given these, puts the output layer to work.
    """

    def __init__(
        self, model: Any, *, chunk_tokens: int, label_smoothing: float = 0.0, in_evaluation: bool = True
    ) -> None:
        self.chunk_tokens = chunk_tokens
        self._in_evaluation = in_evaluation
        self._label_smoothing = label_smoothing
        self._model = model
        self._head = model.get_output_embeddings()
        self._plain_forward = model.forward
        self._plain_head = self._head.forward
        self._plain_loss = model.loss_function
        self._head_waits = False
        self._before: list[tuple[Any, str, Any]] = []

    def install(self) -> None:
        """Use this loss whenever the model is given labels; without them it answers with logits as before."""

        # The Trainer reads from its signature whether a model takes the number of learned tokens.
        @functools.wraps(self._plain_forward)
        def forward(*arguments: Any, **options: Any) -> Any:
            return self._forward(*arguments, **options)

        for owner, name, value in (
            (self._model, "forward", forward),
            (self._head, "forward", self._forward_head),
            # Where a model keeps a loss_function that was set.
            (self._model, "_loss_function", self._loss),
        ):
            self._before.append((owner, name, vars(owner).get(name)))
            setattr(owner, name, value)

    def remove(self) -> None:
        """Put everything back."""
        while self._before:
            owner, name, value = self._before.pop()
            if value is None:
                delattr(owner, name)
            else:
                setattr(owner, name, value)

    def _forward(self, *arguments: Any, **options: Any) -> Any:
        self._head_waits = options.get("labels") is not None and (self._model.training or self._in_evaluation)
        try:
            return self._plain_forward(*arguments, **options)
        finally:
            self._head_waits = False

    def _forward_head(self, hidden: torch.Tensor, *arguments: Any, **options: Any) -> torch.Tensor:
        return hidden if self._head_waits else self._plain_head(hidden, *arguments, **options)

    def _loss(self, logits: torch.Tensor, labels: torch.Tensor, *_: Any, **options: Any) -> torch.Tensor:
        """Return what transformers' loss would be; ``logits`` are hidden states if the output layer waits."""
        following = options.get("shift_labels")
        if following is None:
            following = pad(labels, (0, 1), value=IGNORED_LABEL)[..., 1:]
        following = following.reshape(-1).to(logits.device)
        learned = following != IGNORED_LABEL
        rows, following = logits.reshape(-1, logits.shape[-1])[learned], following[learned]
        if self._head_waits:
            self._head_waits = False
            total = self._sum_of_chunks(rows, following)
        else:
            total = self._sum(rows, following)
        items = options.get("num_items_in_batch")
        if items is None:
            return total / len(following)
        return total / (items.to(total.device) if torch.is_tensor(items) else items)

    def _sum_of_chunks(self, hidden: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        total = hidden.new_zeros((), dtype=torch.float32)
        # Once even where nothing is learned, so that every weight has its gradient.
        for start in range(0, max(1, len(labels)), self.chunk_tokens):
            chunk = slice(start, start + self.chunk_tokens)
            total = total + checkpoint(self._sum_of_chunk, hidden[chunk], labels[chunk], use_reentrant=False)
        return total

    def _sum_of_chunk(self, hidden: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return self._sum(self._head(hidden), labels)

    def _sum(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return cross_entropy(logits.float(), labels, reduction="sum", label_smoothing=self._label_smoothing)

    def problem(self) -> str | None:
        """Say why this model's loss cannot be computed so; None if it can.

        Models may do more with logits than take their loss: Gemma 2 bends them with tanh. That is found out by having
        the model take both ways for some made-up hidden states, large ones, since small ones are hardly bent.
        """
        from transformers.loss.loss_utils import ForCausalLMLoss

        if self._plain_loss is not ForCausalLMLoss:
            return f"this model has a loss of its own ({self._model.loss_type})"
        try:
            is_same = self._is_same()
        except (RuntimeError, ValueError, TypeError, AttributeError, IndexError) as error:
            return f"a {self._model.config.model_type} model cannot be taken apart ({error})"
        if is_same:
            return None
        return f"a {self._model.config.model_type} model changes its logits before it takes their loss"

    def _is_same(self) -> bool:
        shape = (1, 8, self._model.config.get_text_config().hidden_size)
        states = 100 * torch.randn(shape, generator=torch.Generator().manual_seed(0))
        states = states.to(self._model.device, self._model.dtype)
        ids = torch.arange(8, device=states.device).view(1, -1)
        was_training = self._model.training
        self._model.eval()
        with torch.no_grad(), _answering(self._model, states):
            expected = self._plain_forward(input_ids=ids, labels=ids, use_cache=False)
            self.install()
            in_evaluation, self._in_evaluation = self._in_evaluation, True
            try:
                found = self._model.forward(input_ids=ids, labels=ids, use_cache=False)
                logits = self._plain_head(found.logits)
            finally:
                self._in_evaluation = in_evaluation
                self.remove()
                self._model.train(was_training)
        # The plain loss knows no label smoothing.
        is_same_loss = self._label_smoothing or torch.allclose(found.loss, expected.loss.float(), rtol=1e-3)
        return bool(
            is_same_loss and torch.allclose(logits.float(), expected.logits.float(), rtol=1e-2, atol=1e-2)
        )


@contextmanager
def _answering(model: Any, states: torch.Tensor) -> Iterator[None]:
    """Have the layers of the model answer with ``states``, whatever they are given."""
    from transformers.modeling_outputs import MoeModelOutputWithPast

    layers = getattr(model, model.base_model_prefix)
    plain_forward = layers.forward
    layers.forward = lambda *_, **__: MoeModelOutputWithPast(last_hidden_state=states)
    try:
        yield
    finally:
        layers.forward = plain_forward
