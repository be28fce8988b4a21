"""Questions for a model: from tokenised examples, from data files with or without answers, from plain lines."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from fttui_engine.spec.config import TrainingConfig
from fttui_engine.spec.data_forms import ALPACA_COLUMNS, misdescribed, misfit
from fttui_engine.train.data.files import Row
from fttui_engine.train.data.sources import Source, find_datasets, read_rows
from fttui_engine.train.data.tokenise import IGNORED_LABEL
from fttui_engine.train.errors import DataError

# Stands for an answer where a record has none, and never reaches the model: a prompt ends before it.
_NO_ANSWER = "(no answer)"


class Prompt(NamedTuple):
    """What the model is asked, and what would have been right."""

    input_ids: list[int]
    reference: str | None


def prompt_of(example: Any, tokenizer: Any) -> Prompt:
    """Return the question and the answer of a tokenised example: the last learned tokens, and all before them."""
    labels = example.labels.tolist()
    end = len(labels)
    while end > 0 and labels[end - 1] == IGNORED_LABEL:
        end -= 1
    start = end
    while start > 0 and labels[start - 1] != IGNORED_LABEL:
        start -= 1
    if start in (0, end):
        raise DataError(
            "an example has no question before its answer", "train_on_prompt must be false to predict"
        )
    reference = tokenizer.decode(labels[start:end], skip_special_tokens=True)
    return Prompt(example.input_ids[:start].tolist(), reference.strip())


def read_prompts(config: TrainingConfig, tokenizer: Any) -> list[Prompt]:
    """Return the questions of the files in ``dataset``; records may lack their answers."""
    prompts: list[Prompt] = []
    datasets = find_datasets(config.dataset, config.dataset_dir, config.cache_dir)
    for source in [source for dataset in datasets for source in dataset.sources]:
        read = None
        for number, row in enumerate(read_rows(source)):
            if config.max_samples is not None and number >= config.max_samples:
                break
            # Where a table of columns is given, only the reader knows which of them is the answer.
            whole, has_answer = (row, True) if source.columns else _with_answer(row)
            if read is None:
                _, read = _reader(config, tokenizer, source, whole).for_source(source, whole.values)
            example = read(whole).example
            if example is None:
                raise DataError(
                    f"{row.place} has no question that fits cutoff_len", "raise cutoff_len, or remove it"
                )
            prompt = prompt_of(example, tokenizer)
            prompts.append(prompt if has_answer else prompt._replace(reference=None))
    if not prompts:
        raise DataError("there is no question in the data", "name a file with records")
    return prompts


def _reader(config: TrainingConfig, tokenizer: Any, source: Source, row: Row) -> Any:
    """Return what reads these records: the stage that was trained, or sft for questions with at most one answer.

    A model that learned from preferences or from texts is asked the questions of any other.
    """
    from fttui_engine.train.stages import stage_of

    if source.columns is None:
        is_plain = misfit(config.stage, row.values) is not None and misfit("sft", row.values) is None
    else:
        is_plain = misdescribed(config.stage, source._asdict()) is not None and not source.ranking
    # Stage ppo reads the same records, but not their answers.
    used = dataclasses.replace(config, stage="sft") if is_plain or config.stage == "ppo" else config
    return stage_of(used).reader(used, tokenizer)


def _with_answer(row: Row) -> tuple[Row, bool]:
    """Return the record with an answer in any case, and whether it had one."""
    values = dict(row.values)
    for column in ("messages", "conversations", "conversation"):
        turns = values.get(column)
        if isinstance(turns, list) and turns and isinstance(turns[-1], Mapping):
            return _with_last_turn(row, values, column, turns)
    if any(isinstance(values.get(asked), str) and values.get(told) for asked, told in ALPACA_COLUMNS):
        return row, True
    for asked, told in ALPACA_COLUMNS:
        if isinstance(values.get(asked), str):
            return row._replace(values={**values, told: _NO_ANSWER}), False
    return row, True


def _with_last_turn(row: Row, values: dict[str, Any], column: str, turns: list[Any]) -> tuple[Row, bool]:
    last = turns[-1]
    role, content = ("role", "content") if "role" in last else ("from", "value")
    if last.get(role) not in ("user", "human", "prompter", "tool", "observation"):
        return row, True
    answerer = "assistant" if role == "role" else "gpt"
    turns = [*turns, {role: answerer, content: _NO_ANSWER}]
    return row._replace(values={**values, column: turns}), False


def read_lines(path: Path) -> list[str]:
    """Return the questions of a text file, one per line; empty lines are left out."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read as text: {error}", "give a UTF-8 file") from error
    questions = [line.strip() for line in lines if line.strip()]
    if not questions:
        raise DataError(f"{path} has no line with a question", "write one question per line")
    return questions


def ask(tokenizer: Any, messages: list[dict[str, str]]) -> list[int]:
    """Return the tokens of a conversation up to where the answer begins, by the chat template."""
    from jinja2 import TemplateError

    try:
        text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    except TemplateError as error:
        if messages[0]["role"] != "system" or len(messages) < 2:
            raise DataError(f"the chat template refuses this conversation: {error}") from error
        # Gemma's and old Mistral's templates have no system turn.
        first = {"role": "user", "content": f"{messages[0]['content']}\n\n{messages[1]['content']}"}
        text = tokenizer.apply_chat_template(
            [first, *messages[2:]], tokenize=False, add_generation_prompt=True
        )
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])
