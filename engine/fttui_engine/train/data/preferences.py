"""Records in which answers are compared (pairs, for rm and dpo) or judged (tagged, for kto): read as conversations."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from fttui_engine.spec.data_forms import ALPACA_COLUMNS, PAIR_COLUMNS, misfit, tag_column
from fttui_engine.train.data.formats import Conversation, converter, detect_format
from fttui_engine.train.data.sources import Row, Source
from fttui_engine.train.errors import DataError

# Columns that are added to a record; no file has such names.
_ANSWER, _TURNS = "\0answer", "\0turns"
# Where the conversation before an answer may stand.
_PROMPT_COLUMNS = ("prompt", "conversations", "conversation", "messages")
_TAGS = {"true": True, "1": True, "false": False, "0": False}


class ConversationPair(NamedTuple):
    """One prompt with a better and a worse answer."""

    chosen: Conversation
    rejected: Conversation


class JudgedConversation(NamedTuple):
    """One conversation and whether its last answer is good."""

    conversation: Conversation
    is_good: bool


def pair_converter(
    source: Source, columns: Mapping[str, Any], stage: str
) -> Callable[[Row], ConversationPair]:
    """Return the function that turns one row of this file into a pair of conversations."""
    if source.formatting and not source.ranking:
        raise DataError(
            f"{source.path} is described without ranking: true, and stage: {stage} learns from pairs of answers",
            "add it to the entry in dataset_info.json where the records hold pairs, else use stage: sft",
        )
    _refuse_misfit(source, columns, stage)
    names = source.columns or {}
    chosen, rejected = (names.get(name, name) for name in PAIR_COLUMNS)
    return lambda row: ConversationPair(_answered(row, source, chosen), _answered(row, source, rejected))


def judged_converter(source: Source, columns: Mapping[str, Any]) -> Callable[[Row], JudgedConversation]:
    """Return the function that turns one row of this file into a conversation and its tag."""
    if source.ranking:
        raise DataError(
            f"{source.path} holds pairs of a better and a worse answer, and stage: kto learns from tagged answers",
            "use stage: dpo or rm",
        )
    _refuse_misfit(source, columns, "kto")
    tag = (source.columns or {}).get("kto_tag") or tag_column(columns) or "kto_tag"
    # On the hub, completions may be lists of messages after a prompt that is one too.
    if source.formatting is None and isinstance(columns.get("completion"), list | tuple):
        return lambda row: JudgedConversation(_answered(row, source, "completion"), _is_good(row, tag))
    convert = converter(source, detect_format(source, columns))
    return lambda row: JudgedConversation(convert(row), _is_good(row, tag))


def _refuse_misfit(source: Source, columns: Mapping[str, Any], stage: str) -> None:
    if source.columns is None and (fault := misfit(stage, columns)):
        raise DataError(f"{source.path} {fault.what}", fault.known)


def _is_good(row: Row, column: str) -> bool:
    value = row.values.get(column)
    # A CSV file has texts only.
    tag = _TAGS.get(str(value).lower())
    if tag is None:
        raise DataError(f"{row.place}: {column} must be true or false", "correct or remove this record")
    return tag


def _answered(row: Row, source: Source, column: str) -> Conversation:
    """Return the conversation that the answer in ``column`` ends: a text, a message, or a list of messages."""
    answer = row.values.get(column)
    if isinstance(answer, str):
        before = _turns_before(row, source)
        if before is None:
            return _after_instruction(row, source, answer)
        return _from_turns(row, source, before, [_message(source, before, answer)])
    if isinstance(answer, dict):
        return _from_turns(row, source, _turns_before(row, source) or [], [answer])
    if isinstance(answer, list | tuple) and answer and all(isinstance(turn, dict) for turn in answer):
        # Many files repeat the prompt in both answers; a list that begins with an answer continues it.
        whole = _from_turns(row, source, [], list(answer))
        if whole.messages[0]["role"] != "assistant":
            return whole
        prompt = row.values.get("prompt")
        before = _turns_before(row, source)
        if before is None and isinstance(prompt, str):
            before = [_message(source, list(answer), prompt, user=True)]
        return _from_turns(row, source, before or [], list(answer))
    raise DataError(
        f"{row.place}: {column} must be a text, a message or a list of messages",
        "correct or remove this record",
    )


def _turns_before(row: Row, source: Source) -> list[Any] | None:
    """Return the turns that the answers of a record follow; None where it has an instruction instead."""
    names = source.columns or {}
    if source.formatting == "alpaca":
        return None
    columns = (names["messages"],) if "messages" in names else _PROMPT_COLUMNS
    turns = next(
        (row.values[name] for name in columns if isinstance(row.values.get(name), list | tuple)), None
    )
    return None if turns is None else list(turns)


def _message(source: Source, others: list[Any], text: str, *, user: bool = False) -> dict[str, str]:
    """Return a message in the words of the other messages."""
    tags = source.tags or {}
    if _form(source, others) == "openai":
        role, names = "user" if user else "assistant", ("role", "content")
    else:
        role, names = "human" if user else "gpt", ("from", "value")
    return {
        tags.get("role_tag", names[0]): tags.get("user_tag" if user else "assistant_tag", role),
        tags.get("content_tag", names[1]): text,
    }


def _form(source: Source, turns: list[Any]) -> str:
    if source.formatting in ("sharegpt", "openai"):
        return source.formatting
    return "sharegpt" if turns and isinstance(turns[0], dict) and "from" in turns[0] else "openai"


def _from_turns(row: Row, source: Source, before: list[Any], answer: list[Any]) -> Conversation:
    turns = [*before, *answer]
    form = _form(source, answer)
    described = source._replace(formatting=form, columns={**(source.columns or {}), "messages": _TURNS})
    return converter(described, form)(Row(row.place, {**row.values, _TURNS: turns}))


def _after_instruction(row: Row, source: Source, answer: str) -> Conversation:
    if source.columns is not None:
        described = source._replace(columns={**source.columns, "response": _ANSWER})
        return converter(described, "alpaca")(Row(row.place, {**row.values, _ANSWER: answer}))
    usual = next((pair for pair in ALPACA_COLUMNS if pair[0] in row.values), None)
    if usual is None:
        raise DataError(
            f"{row.place}: there is no prompt before the answers",
            f"give it in one of the columns {', '.join(dict.fromkeys(name for name, _ in ALPACA_COLUMNS))}",
        )
    return converter(source, "alpaca")(Row(row.place, {**row.values, usual[1]: answer}))
