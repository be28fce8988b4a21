"""``fttui chat``: a conversation in the terminal, answers as they are written, the adapter switched on and off."""

import contextlib
import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from fttui_engine.errors import ExitCode
from fttui_engine.runs.logs import plain_text
from fttui_engine.train.errors import DataError
from fttui_engine.train.inference.generation import generation_config, stream
from fttui_engine.train.inference.loading import import_libraries, load_trained, say
from fttui_engine.train.inference.prompts import ask
from fttui_engine.train.inference.request import Request

HELP = """/adapter on|off   answer with or without what was trained
/system TEXT      set the system message (without TEXT: take it away) and begin anew
/clear            begin anew
/save FILE        write the conversation as a record that can be trained on
/help             this
/exit             leave; so does Ctrl-D. Ctrl-C ends an answer"""


class Conversation:
    """What has been said, and with which model the next answer is written."""

    def __init__(self, model: Any, tokenizer: Any, settings: Any, system: str | None) -> None:
        self.system = system
        self.turns: list[dict[str, str]] = []
        self.adapter_is_on = True
        self._model = model
        self._tokenizer = tokenizer
        self._settings = settings

    @property
    def has_adapter(self) -> bool:
        """Whether there is something to switch off."""
        return hasattr(self._model, "disable_adapter")

    def answer(self, question: str, stopped: Callable[[], bool]) -> Iterator[str]:
        """Yield the answer piece by piece; it becomes part of the conversation, also where it was stopped."""
        self.turns.append({"role": "user", "content": question})
        pieces: list[str] = []
        try:
            with self._chosen_model():
                prompt = ask(self._tokenizer, self._messages())
                most = getattr(self._model.config, "max_position_embeddings", None)
                if most is not None and len(prompt) >= most:
                    raise DataError(
                        f"the conversation has {len(prompt)} tokens, and the model takes {most}",
                        "/clear begins a new one",
                    )
                for piece in stream(self._model, self._tokenizer, prompt, self._settings, stopped):
                    pieces.append(piece)
                    yield piece
        except BaseException:
            self.turns.pop()
            raise
        self.turns.append({"role": "assistant", "content": "".join(pieces).strip()})

    def save(self, path: Path) -> None:
        """Append the conversation to a JSON lines file in OpenAI's form."""
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"messages": self._messages()}, ensure_ascii=False) + "\n")

    def _messages(self) -> list[dict[str, str]]:
        system = [{"role": "system", "content": self.system}] if self.system else []
        return [*system, *self.turns]

    def _chosen_model(self) -> contextlib.AbstractContextManager[Any]:
        if self.has_adapter and not self.adapter_is_on:
            return self._model.disable_adapter()  # type: ignore[no-any-return]
        return contextlib.nullcontext()


def chat(request: Request) -> int:
    """Talk until the end of the input."""
    config = request.config
    import_libraries(config)
    loaded = load_trained(request)
    settings = generation_config(config, loaded.model, loaded.tokenizer)
    system = request.options["system"] or config.default_system
    conversation = Conversation(loaded.model, loaded.tokenizer, settings, system)
    say(f"{request.label} on {loaded.model.device}; /help lists the commands")
    for line in _lines():
        if line.startswith("/"):
            if not _obey(line, conversation):
                break
        elif line:
            _print_answer(conversation, line)
    return ExitCode.DONE


def _lines() -> Iterator[str]:
    """Yield what is typed, or piped in; Ctrl-C throws a half-typed line away."""
    if not sys.stdin.isatty():
        for line in sys.stdin:
            yield line.strip()
        return
    with contextlib.suppress(ImportError):
        # Arrow keys and a history, by being imported.
        import readline  # noqa: F401
    while True:
        try:
            line = input("> ")
        except EOFError:
            print()
            return
        except KeyboardInterrupt:
            print()
            continue
        # A terminal gives bytes that are no text as lone surrogates, which no tokenizer takes.
        yield line.encode("utf-8", "replace").decode().strip()


def _print_answer(conversation: Conversation, question: str) -> None:
    """Write an answer as it comes; Ctrl-C ends it and nothing else."""
    stop = False

    def on_interrupt(_number: int, _frame: Any) -> None:
        nonlocal stop
        stop = True

    before = signal.signal(signal.SIGINT, on_interrupt)
    try:
        for piece in conversation.answer(question, lambda: stop):
            # A model may write anything, escape sequences too.
            print(plain_text(piece), end="", flush=True)
    except DataError as error:
        say(f"{error.message}; {error.hint}")
    finally:
        signal.signal(signal.SIGINT, before)
    print(flush=True)


def _obey(line: str, conversation: Conversation) -> bool:
    """Do what a line that begins with a slash says; False ends the conversation."""
    command, _, rest = line.partition(" ")
    rest = rest.strip()
    match command:
        case "/exit" | "/quit":
            return False
        case "/help":
            print(HELP, file=sys.stderr)
        case "/clear":
            conversation.turns.clear()
            say("a new conversation")
        case "/system":
            conversation.system = rest or None
            conversation.turns.clear()
            say("a new conversation, with this system message" if rest else "a new conversation")
        case "/adapter":
            _switch_adapter(rest, conversation)
        case "/save":
            _save(rest, conversation)
        case _:
            say(f"there is no command {command}; /help lists them")
    return True


def _switch_adapter(wish: str, conversation: Conversation) -> None:
    if not conversation.has_adapter:
        say("this model has no adapter; fttui compare --base MODEL sets two models side by side")
    elif wish not in ("on", "off"):
        say("write /adapter on or /adapter off")
    else:
        conversation.adapter_is_on = wish == "on"
        say("answers come from the trained model" if wish == "on" else "answers come from the base model")


def _save(name: str, conversation: Conversation) -> None:
    if not name:
        say("write /save FILE")
        return
    path = Path(os.path.expanduser(name))
    try:
        conversation.save(path)
    except OSError as error:
        say(f"{path} cannot be written: {error.strerror}")
    else:
        say(f"the conversation is in {path}")
