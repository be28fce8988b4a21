"""The process behind the compare screen: both models answer one question after the other, until the screen is gone.

Lines of JSON on standard input: ``{"ask": 1, "text": "..."}``, ``{"file": "..."}``, ``{"stop": true}``. On standard
output: ``{"event": ...}`` with ``loading``, ``ready``, ``questions``, ``piece``, ``end``, ``trouble``. Standard input
closes when the screen does, or the program that showed it, however that came about; this process ends then.
"""

import contextlib
import json
import os
import queue
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, TextIO

from fttui_engine.errors import ExitCode, FttuiError
from fttui_engine.train.errors import DataError
from fttui_engine.train.failures import explain
from fttui_engine.train.inference.compare import questions
from fttui_engine.train.inference.generation import generation_config, stream
from fttui_engine.train.inference.loading import (
    Loaded,
    import_libraries,
    load_base,
    load_own_tokenizer,
    load_trained,
    usable,
)
from fttui_engine.train.inference.prompts import ask
from fttui_engine.train.inference.request import Request
from fttui_engine.train.results import claim_stdout

BASE, TUNED = "base", "tuned"


class Speaker(NamedTuple):
    """One of the two models, and what makes the other one out of it."""

    name: str
    loaded: Loaded
    settings: Any
    begin: Callable[[], contextlib.AbstractContextManager[Any]]
    prepared: dict[str, list[int]]
    """The tokens of questions that came from a file of records."""


class Channel:
    """The two ends of the conversation with the screen."""

    def __init__(self, results: TextIO) -> None:
        self.questions: queue.Queue[dict[str, Any]] = queue.Queue()
        self.stopped = threading.Event()
        self._results = results
        threading.Thread(target=self._listen, name="screen", daemon=True).start()

    def tell(self, event: str, **values: Any) -> None:
        """Send an event; a screen that has gone is the end."""
        try:
            print(json.dumps({"event": event, **values}), file=self._results, flush=True)
        except BrokenPipeError:
            os._exit(ExitCode.INTERRUPTED)

    def _listen(self) -> None:
        for line in sys.stdin:
            wish = json.loads(line)
            if wish.get("stop"):
                self.stopped.set()
            else:
                self.questions.put(wish)
        # There is nothing to clean up, and a model may be on its way through native code for minutes.
        os._exit(ExitCode.INTERRUPTED)


def side_by_side(request: Request) -> int:
    """Load both models, then answer until the end."""
    channel = Channel(claim_stdout())
    try:
        speakers = _load(request, channel)
    except Exception as error:
        failure = explain(error, request.config)
        channel.tell("trouble", message=failure.message, advice=failure.advice, is_final=True)
        raise
    channel.tell("ready", device=str(speakers[0].loaded.model.device))
    while True:
        wish = channel.questions.get()
        if "file" in wish:
            _read_file(Path(wish["file"]), speakers, request, channel)
        else:
            _answer(wish, speakers, request, channel)


def _load(request: Request, channel: Channel) -> list[Speaker]:
    config = request.config
    channel.tell("loading", what="torch and transformers")
    import_libraries(config)
    channel.tell("loading", what=request.label)
    tuned = load_trained(request)
    speaks = Speaker(TUNED, tuned, _settings(request, tuned), contextlib.nullcontext, {})
    if request.adapters:
        # One set of weights serves both: without the adapter they are the base.
        return [Speaker(BASE, tuned, speaks.settings, tuned.model.disable_adapter, {}), speaks]
    channel.tell("loading", what=config.model_name_or_path)
    base = Loaded(
        load_base(usable(config, dtype=None, packed=True)),
        load_own_tokenizer(request._replace(weights=None)),
    )
    return [Speaker(BASE, base, _settings(request, base), contextlib.nullcontext, {}), speaks]


def _settings(request: Request, loaded: Loaded) -> Any:
    greedy = "do_sample" not in request.written
    settings = generation_config(request.config, loaded.model, loaded.tokenizer, greedy=greedy)
    # Beams are told apart at the end only; an answer that is seen growing has one.
    settings.num_beams = 1
    return settings


def _read_file(path: Path, speakers: list[Speaker], request: Request, channel: Channel) -> None:
    try:
        read = [questions(path, request.config, speaker.loaded.tokenizer) for speaker in speakers]
    except Exception as error:  # noqa: BLE001 - a file that cannot be read is said, and another one can be named
        failure = explain(error, request.config)
        channel.tell("trouble", message=failure.message, advice=failure.advice, is_final=False)
        return
    for speaker, own in zip(speakers, read, strict=True):
        pairs = zip(read[-1], own, strict=True)
        speaker.prepared.update({named.shown: question.input_ids for named, question in pairs})
    channel.tell("questions", texts=[question.shown for question in read[-1]])


def _answer(wish: dict[str, Any], speakers: list[Speaker], request: Request, channel: Channel) -> None:
    from transformers import set_seed

    number, text = wish["ask"], str(wish["text"])
    channel.stopped.clear()
    for speaker in speakers:
        # The same chance for both, so that what differs is the training.
        set_seed(request.config.seed)
        try:
            with speaker.begin():
                for piece in stream(
                    speaker.loaded.model,
                    speaker.loaded.tokenizer,
                    _prompt(speaker, text, request),
                    speaker.settings,
                    channel.stopped.is_set,
                ):
                    channel.tell("piece", ask=number, model=speaker.name, text=piece)
        except Exception as error:  # noqa: BLE001 - one question that cannot be answered does not end the others
            failure = explain(error, request.config)
            if not isinstance(error, FttuiError):
                print(f"fttui: {failure.message}", file=sys.stderr, flush=True)
            channel.tell("trouble", message=failure.message, advice=failure.advice, is_final=False)
        channel.tell("end", ask=number, model=speaker.name, was_stopped=channel.stopped.is_set())


def _prompt(speaker: Speaker, text: str, request: Request) -> list[int]:
    if text in speaker.prepared:
        return speaker.prepared[text]
    system = request.config.default_system
    messages = [{"role": "system", "content": system}] if system else []
    prompt = ask(speaker.loaded.tokenizer, [*messages, {"role": "user", "content": text}])
    most = getattr(speaker.loaded.model.config, "max_position_embeddings", None)
    if most is not None and len(prompt) >= most:
        raise DataError(f"the question has {len(prompt)} tokens, and the model takes {most}", "ask for less")
    return prompt
