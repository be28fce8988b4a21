"""A value head on a language model: one number per token, of which the last one's scores an answer."""

from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors.torch import load_file, save_file
from torch import nn

from fttui_engine.train.errors import ModelError

# LLaMA-Factory's file and names, so that either can go on with what the other has trained.
FILE = "value_head.safetensors"
_PREFIX = "v_head."
_DROPOUT = 0.1


class ValueHead(nn.Module):
    """One number from the hidden state of each token; in float32, because scores lie close together."""

    def __init__(self, hidden_size: int) -> None:
        super().__init__()
        self.dropout = nn.Dropout(_DROPOUT)
        self.summary = nn.Linear(hidden_size, 1, dtype=torch.float32)

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        """Return the values, without the last dimension."""
        with torch.autocast(hidden_states.device.type, enabled=False):
            # All tokens, though one is used: LLaMA-Factory's dropout draws as many numbers.
            values: torch.Tensor = self.summary(self.dropout(hidden_states).to(self.summary.weight.dtype))
        # Not as a view, of which FSDP2 warns where a module returns one.
        return values.squeeze(-1).clone()


class ValueModel(nn.Module):
    """A language model, or one with an adapter, and a value head on its last layer; the language head rests."""

    def __init__(self, pretrained_model: Any) -> None:
        super().__init__()
        self.pretrained_model = pretrained_model
        hidden_size = pretrained_model.config.get_text_config().hidden_size
        self.v_head = ValueHead(hidden_size).to(next(pretrained_model.parameters()).device)
        # transformers' Trainer trains packed weights only where it knows of an adapter on them.
        self._hf_peft_config_loaded = hasattr(pretrained_model, "peft_config")

    def __getattr__(self, name: str) -> Any:
        """Be what the model below is in all that is not the head's, as peft's own wrapper is."""
        try:
            return super().__getattr__(name)
        except AttributeError:
            if name == "pretrained_model":
                raise
            return getattr(self.pretrained_model, name)

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """Return the value of each token."""
        model = self.pretrained_model
        causal = model.get_base_model() if hasattr(model, "peft_config") else model
        # Without the language head, whose logits nobody needs and which take more memory than all else.
        outputs = causal.base_model(input_ids=input_ids, attention_mask=attention_mask, use_cache=False)
        values: torch.Tensor = self.v_head(outputs.last_hidden_state)
        return values

    @torch.no_grad()
    def scores(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """Return the score of each row, which is the value of its last token; rows are padded on the right."""
        values: torch.Tensor = self(input_ids, attention_mask)
        return values.gather(-1, last_positions(attention_mask)).squeeze(-1)


class AnswerScores(NamedTuple):
    """What a policy makes of answers, one number per token."""

    logps: torch.Tensor
    values: torch.Tensor


class PolicyModel(ValueModel):
    """A language model and a value head, of which both are asked about answers in the last columns of a batch."""

    def forward(  # type: ignore[override]
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor, answer_length: int
    ) -> AnswerScores:
        """Return the log-probability of each token of the answers, and the value of the state before it."""
        states: list[torch.Tensor] = []
        # What the language head sees is what the value head needs; asking for all hidden states would keep those of
        # every layer.
        with language_head(self.pretrained_model).register_forward_pre_hook(
            lambda _, arguments: states.append(arguments[0])
        ):
            logps = answer_logps(self.pretrained_model, input_ids, attention_mask, answer_length)
        return AnswerScores(logps, self.v_head(states[-1][:, :-1]))


def answer_logps(
    model: Any, input_ids: torch.Tensor, attention_mask: torch.Tensor, answer_length: int
) -> torch.Tensor:
    """Return the log-probability of each token in the last columns of a batch whose questions are padded on the left."""
    logits = model(
        input_ids=input_ids,
        attention_mask=attention_mask,
        # As generate() counts them: padding in front of a question has no place.
        position_ids=(attention_mask.cumsum(-1) - 1).clamp(min=0),
        # The state before the first token of the answer predicts it; the last one's predicts nothing.
        logits_to_keep=answer_length + 1,
        use_cache=False,
    ).logits[:, :-1]
    tokens = input_ids[:, -answer_length:].unsqueeze(-1)
    # Row by row, as in preference_losses: float32 logits take several times the memory of the model's own.
    return torch.stack(
        [
            row.float().log_softmax(-1).gather(-1, row_tokens).squeeze(-1)
            for row, row_tokens in zip(logits, tokens, strict=True)
        ]
    )


def language_head(model: Any) -> Any:
    """Return the layer that turns hidden states into logits."""
    causal = model.get_base_model() if hasattr(model, "peft_config") else model
    return causal.get_output_embeddings()


def add_value_head(model: Any, origin: str) -> ValueModel:
    """Return the model with a value head: the one in the folder ``origin`` where it has one, else a new one."""
    head = language_head(model)
    if head is not None and head.weight is not model.get_input_embeddings().weight:
        # Nothing flows through it, and ranks that share the work wait in vain for its gradient.
        head.requires_grad_(False)
    valued = ValueModel(model)
    load_value_head(valued.v_head, Path(origin).expanduser())
    return valued


def add_policy_head(model: Any, origin: str) -> PolicyModel:
    """Return the model with a value head beside its language head: the one in ``origin`` if it has one, else a new one."""
    policy = PolicyModel(model)
    load_value_head(policy.v_head, Path(origin).expanduser())
    return policy


def last_positions(attention_mask: torch.Tensor) -> torch.Tensor:
    """Return the position of each row's last token, for padding on the right."""
    return attention_mask.sum(-1, keepdim=True) - 1


def save_value_head(head: ValueHead, folder: str, state_dict: dict[str, Any] | None = None) -> None:
    """Write a value head beside its model; ``state_dict`` is the whole model's where it was gathered from ranks."""
    weights = state_dict or {f"{_PREFIX}{name}": value for name, value in head.state_dict().items()}
    own = {name: value.contiguous() for name, value in weights.items() if name.startswith(_PREFIX)}
    save_file(own, str(Path(folder, FILE)), metadata={"format": "pt"})


def load_value_head(head: ValueHead, folder: Path) -> bool:
    """Load the value head of a folder; False where there is none."""
    path = folder / FILE
    if not path.is_file():
        return False
    try:
        weights = load_file(str(path))
        head.load_state_dict({name.removeprefix(_PREFIX): value for name, value in weights.items()})
    except (OSError, RuntimeError, ValueError) as error:
        raise ModelError(
            f"{path} does not fit the model: {str(error).splitlines()[0]}",
            "use the model that it was trained on",
        ) from error
    return True
