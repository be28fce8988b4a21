"""A value head on a language model: one number per token, of which the last one's scores an answer."""

from pathlib import Path
from typing import Any

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
        return values.squeeze(-1)


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


def add_value_head(model: Any, origin: str) -> ValueModel:
    """Return the model with a value head: the one in the folder ``origin`` where it has one, else a new one."""
    causal = model.get_base_model() if hasattr(model, "peft_config") else model
    language_head = causal.get_output_embeddings()
    if language_head is not None and language_head.weight is not causal.get_input_embeddings().weight:
        # Nothing flows through it, and ranks that share the work wait in vain for its gradient.
        language_head.requires_grad_(False)
    valued = ValueModel(model)
    load_value_head(valued.v_head, Path(origin).expanduser())
    return valued


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
