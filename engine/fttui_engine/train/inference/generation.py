"""Writing texts: the settings of generation, batches with padding on the left, and one answer as it grows."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from fttui_engine.spec.config import TrainingConfig

# A word that no template has, so that what follows it is the end of the answer.
_LAST_WORD = "Xyzzy"


def generation_config(config: TrainingConfig, model: Any, tokenizer: Any, *, greedy: bool = False) -> Any:
    """Return transformers' form of the keys of generation; ``greedy`` leaves chance out of it."""
    from transformers import GenerationConfig

    settings: dict[str, Any] = {
        "num_beams": config.num_beams,
        "repetition_penalty": config.repetition_penalty,
        "eos_token_id": end_tokens(model, tokenizer),
        "pad_token_id": tokenizer.pad_token_id,
        "use_cache": True,
    }
    if config.max_new_tokens > 0:
        settings["max_new_tokens"] = config.max_new_tokens
    else:
        settings["max_length"] = config.max_length
    if config.num_beams > 1:
        settings["length_penalty"] = config.length_penalty
    if config.do_sample and not greedy:
        settings |= {
            "do_sample": True,
            "temperature": config.temperature,
            "top_p": config.top_p,
            "top_k": config.top_k,
        }
    return GenerationConfig(**settings)  # type: ignore[no-untyped-call]


def end_tokens(model: Any, tokenizer: Any) -> list[int]:
    """Return the tokens that end an answer: the tokenizer's, the model's own, and the one its template ends turns with."""
    ends = {tokenizer.eos_token_id}
    of_model = getattr(model.generation_config, "eos_token_id", None)
    ends.update(of_model if isinstance(of_model, list) else [of_model])
    ends.add(_end_of_turn(tokenizer))
    return sorted(end for end in ends if end is not None)


def _end_of_turn(tokenizer: Any) -> int | None:
    if not tokenizer.chat_template:
        return None
    turns = [{"role": "user", "content": "question"}, {"role": "assistant", "content": _LAST_WORD}]
    text = str(tokenizer.apply_chat_template(turns, tokenize=False))
    after = tokenizer(text.rpartition(_LAST_WORD)[2], add_special_tokens=False)["input_ids"]
    # all_special_ids has only those with a role, such as the end of a text.
    added = tokenizer.added_tokens_decoder.items()
    special = {*tokenizer.all_special_ids, *(token for token, entry in added if entry.special)}
    return next((token for token in after if token in special), None)


def write_batch(
    model: Any, tokenizer: Any, prompts: Sequence[Sequence[int]], settings: Any
) -> list[list[int]]:
    """Return the tokens of one answer to each prompt, without those after its end."""
    import torch

    width = max(len(prompt) for prompt in prompts)
    input_ids = torch.full((len(prompts), width), tokenizer.pad_token_id, dtype=torch.int64)
    attention_mask = torch.zeros_like(input_ids)
    for row, prompt in enumerate(prompts):
        input_ids[row, width - len(prompt) :] = torch.tensor(list(prompt))
        attention_mask[row, width - len(prompt) :] = 1
    with torch.inference_mode():
        output = model.generate(
            input_ids=input_ids.to(model.device),
            attention_mask=attention_mask.to(model.device),
            generation_config=settings,
        )
    return [_until_end(row, settings.eos_token_id) for row in output[:, width:].tolist()]


def _until_end(tokens: list[int], ends: Sequence[int]) -> list[int]:
    for place, token in enumerate(tokens):
        if token in ends:
            return tokens[: place + 1]
    return tokens


def stream(
    model: Any, tokenizer: Any, prompt: Sequence[int], settings: Any, stopped: Callable[[], bool]
) -> Iterator[str]:
    """Yield the pieces of one answer as they are written, until its end or until ``stopped``."""
    import threading

    import torch
    from transformers import StoppingCriteria, StoppingCriteriaList, TextIteratorStreamer

    class Stopped(StoppingCriteria):
        def __call__(self, input_ids: Any, scores: Any, **_: Any) -> Any:
            return torch.full((input_ids.shape[0],), stopped(), dtype=torch.bool, device=input_ids.device)

    pieces: Any = TextIteratorStreamer(tokenizer, skip_prompt=True, skip_special_tokens=True)
    input_ids = torch.tensor([list(prompt)], device=model.device)
    failures: list[BaseException] = []

    def write() -> None:
        try:
            with torch.inference_mode():
                model.generate(
                    input_ids=input_ids,
                    attention_mask=torch.ones_like(input_ids),
                    generation_config=settings,
                    streamer=pieces,
                    stopping_criteria=StoppingCriteriaList([Stopped()]),
                )
        except BaseException as error:  # noqa: BLE001 - raised again where the answer is read
            failures.append(error)
            pieces.end()

    thread = threading.Thread(target=write, name="generation", daemon=True)
    thread.start()
    yield from pieces
    thread.join()
    if failures:
        raise failures[0]
