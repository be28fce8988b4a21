"""``fttui compare``: the same questions to the base and to the trained model."""

import contextlib
import gc
import json
import shutil
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from fttui_engine.errors import ExitCode
from fttui_engine.runs.logs import plain_text
from fttui_engine.spec.config import TrainingConfig
from fttui_engine.train.inference.generation import generation_config, write_batch
from fttui_engine.train.inference.loading import (
    import_libraries,
    load_base,
    load_own_tokenizer,
    load_trained,
    say,
    usable,
)
from fttui_engine.train.inference.prompts import ask, read_lines, read_prompts
from fttui_engine.train.inference.request import Request

_DATA_SUFFIXES = (".json", ".jsonl", ".csv", ".parquet")
_GAP = " | "


class Question(NamedTuple):
    """One prompt, as a person sees it and as the model does."""

    shown: str
    input_ids: list[int]


class Answers(NamedTuple):
    """What both models say to one question."""

    prompt: str
    base: str
    tuned: str


def compare(request: Request) -> int:
    """Print both answers to every question."""
    import_libraries(request.config)
    answers = compared(request)
    if request.options["json"]:
        for each in answers:
            print(json.dumps(each._asdict(), ensure_ascii=False))
    else:
        width = shutil.get_terminal_size((80, 24)).columns
        for each in answers:
            print(side_by_side(each, width))
    differing = sum(each.base != each.tuned for each in answers)
    say(f"{differing} of {len(answers)} answers differ")
    return ExitCode.DONE


def compared(request: Request) -> list[Answers]:
    """Return both answers to every question; without chance, unless do_sample was written."""
    config = request.config
    greedy = "do_sample" not in request.written
    loaded = load_trained(request)
    model, tokenizer = loaded
    asked = questions(Path(request.options["prompts"]), config, tokenizer)
    settings = generation_config(config, model, tokenizer, greedy=greedy)
    tuned = _write(model, tokenizer, asked, settings, config)
    if request.adapters:
        base_model: Any = model
        without = model.disable_adapter()
        base_tokenizer = tokenizer
    else:
        # One model after the other: both at once may not fit.
        del model, loaded
        gc.collect()
        base_request = request._replace(weights=None)
        say(f"loading {config.model_name_or_path}")
        base_model = load_base(usable(config, dtype=None, packed=True))
        base_tokenizer = load_own_tokenizer(base_request)
        without = contextlib.nullcontext()
        asked = questions(Path(request.options["prompts"]), config, base_tokenizer)
        settings = generation_config(config, base_model, base_tokenizer, greedy=greedy)
    with without:
        base = _write(base_model, base_tokenizer, asked, settings, config)
    return [Answers(question.shown, *both) for question, *both in zip(asked, base, tuned, strict=True)]


def questions(path: Path, config: TrainingConfig, tokenizer: Any) -> list[Question]:
    """Return the questions of a file: one per line, or the records of a data file."""
    if path.suffix.lower() in _DATA_SUFFIXES:
        import dataclasses

        config = dataclasses.replace(config, dataset=(str(path),))
        return [
            Question(tokenizer.decode(prompt.input_ids, skip_special_tokens=True).strip(), prompt.input_ids)
            for prompt in read_prompts(config, tokenizer)
        ]
    system = [{"role": "system", "content": config.default_system}] if config.default_system else []
    return [
        Question(line, ask(tokenizer, [*system, {"role": "user", "content": line}]))
        for line in read_lines(path)
    ]


def _write(
    model: Any, tokenizer: Any, questions: Sequence[Question], settings: Any, config: TrainingConfig
) -> list[str]:
    from transformers import set_seed

    set_seed(config.seed)
    texts: list[str] = []
    for start in range(0, len(questions), config.per_device_eval_batch_size):
        batch = questions[start : start + config.per_device_eval_batch_size]
        answers = write_batch(model, tokenizer, [question.input_ids for question in batch], settings)
        texts += [
            tokenizer.decode(answer, skip_special_tokens=config.skip_special_tokens).strip()
            for answer in answers
        ]
        print(f"\rfttui: {len(texts)} of {len(questions)}", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return texts


def side_by_side(answers: Answers, width: int) -> str:
    """Return one question and its two answers in columns as wide as the terminal allows."""
    column = max(20, (width - len(_GAP)) // 2)
    rows = [("BASE", "TRAINED")]
    left, right = (_wrapped(text, column) for text in (answers.base, answers.tuned))
    height = max(len(left), len(right))
    rows += zip(left + [""] * (height - len(left)), right + [""] * (height - len(right)), strict=True)
    body = "\n".join(f"{one:<{column}}{_GAP}{other}".rstrip() for one, other in rows)
    question = "\n".join(_wrapped(answers.prompt, max(40, width)))
    return f"{question}\n{body}\n"


def _wrapped(text: str, width: int) -> list[str]:
    return [
        row
        for line in plain_text(text).expandtabs(4).split("\n")
        for row in (textwrap.wrap(line, width) or [""])
    ]
