"""The Trainer of stage rm."""

from typing import Any

from torch.nn.functional import logsigmoid

from fttui_engine.train.loop.measures import mean_of
from fttui_engine.train.models.value_head import last_positions
from fttui_engine.train.stages.example_mean_trainer import BatchLoss, ExampleMeanTrainer, is_real, stacked
from fttui_engine.train.stages.value_head_trainer import ValueHeadTrainer


class RewardTrainer(ValueHeadTrainer, ExampleMeanTrainer):
    """Learns to score the better of two answers higher, by the value of its last token."""

    def batch_loss(self, model: Any, inputs: dict[str, Any]) -> BatchLoss:
        """Return the loss of each pair, and the scores."""
        input_ids, attention_mask = stacked(inputs, "input_ids"), stacked(inputs, "attention_mask")
        values = model(input_ids=input_ids, attention_mask=attention_mask)
        chosen, rejected = values.gather(-1, last_positions(attention_mask)).squeeze(-1).chunk(2)
        real = is_real(inputs)
        measures = {
            "accuracy": (chosen > rejected).float(),
            "rewards/chosen": chosen,
            "rewards/rejected": rejected,
            "rewards/margins": chosen - rejected,
        }
        return BatchLoss(
            -logsigmoid(chosen - rejected),
            {name: mean_of(values, real) for name, values in measures.items()},
        )
