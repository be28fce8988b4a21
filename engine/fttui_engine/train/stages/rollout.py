"""Answers that the model writes itself, laid out so that all of them begin in one column."""

from typing import Any, NamedTuple

import torch
from torch.nn.functional import pad


class Rollout(NamedTuple):
    """Questions, padded on the left, each with the answer that the model wrote, padded on the right."""

    input_ids: torch.Tensor
    attention_mask: torch.Tensor
    answer_mask: torch.Tensor
    """Which columns behind the questions belong to answers: true up to the end token, or the longest length."""

    @property
    def answers(self) -> torch.Tensor:
        """The tokens of the answers."""
        return self.input_ids[:, -self.answer_mask.shape[1] :]

    @property
    def lengths(self) -> torch.Tensor:
        """The number of tokens of each answer."""
        return self.answer_mask.sum(-1)

    def rows(self, chosen: Any) -> "Rollout":
        """Return some of its rows."""
        return Rollout(*(field[chosen] for field in self))

    def padded_on_the_right(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return input ids and attention mask with all padding behind the answers, as a reward model reads them."""
        order = (1 - self.attention_mask).argsort(dim=1, stable=True)
        return self.input_ids.gather(1, order), self.attention_mask.gather(1, order)


@torch.no_grad()
def write_answers(model: Any, questions: dict[str, torch.Tensor], settings: Any, batch_size: int) -> Rollout:
    """Have the model answer questions, ``batch_size`` at a time; ``settings`` are transformers' of generation."""
    ids, mask = questions["input_ids"], questions["attention_mask"]
    written = [
        model.generate(input_ids=some_ids, attention_mask=some_mask, generation_config=settings)
        for some_ids, some_mask in zip(batches(ids, batch_size), batches(mask, batch_size), strict=True)
    ]
    answers = [each[:, ids.shape[1] :] for each in written]
    return laid_out(ids, mask, answers, settings.eos_token_id, settings.pad_token_id)


def laid_out(
    ids: torch.Tensor, mask: torch.Tensor, answers: list[torch.Tensor], ends: list[int], pad_token_id: int
) -> Rollout:
    """Return questions with their answers, which were written in batches of different lengths."""
    longest = max(some.shape[1] for some in answers)
    joined = torch.cat([pad(some, (0, longest - some.shape[1]), value=pad_token_id) for some in answers])
    # Whoever has no end token was cut at the longest length, so that nothing is behind it.
    is_end = torch.isin(joined, torch.tensor(ends, device=joined.device))
    answer_mask = is_end.cumsum(-1) == is_end
    joined = joined.where(answer_mask, pad_token_id)
    return Rollout(torch.cat((ids, joined), 1), torch.cat((mask, answer_mask.to(mask.dtype)), 1), answer_mask)


def batches(rows: torch.Tensor, size: int) -> list[torch.Tensor]:
    """Return the rows in parts of one size, of which the last may be smaller."""
    return [rows[start : start + size] for start in range(0, len(rows), size)]
