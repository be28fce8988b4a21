"""From rows in one of three known forms to one form of our own: a conversation and which turns are learned."""

import json
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from fttui_engine.spec.data_forms import ALPACA_COLUMNS, KNOWN_FORMS, form_of, shown_columns
from fttui_engine.train.data.sources import Row, Source
from fttui_engine.train.errors import DataError

Message = dict[str, Any]

# Names of roles in the wild, and the four that chat templates know.
_ROLES = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "prompter": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "model": "assistant",
    "bot": "assistant",
    "chatgpt": "assistant",
    "function_call": "assistant",
    "tool": "tool",
    "function": "tool",
    "observation": "tool",
    "ipython": "tool",
}


class Conversation(NamedTuple):
    """One training example before tokenising."""

    place: str
    messages: list[Message]
    """Role and content, as every chat template takes them."""
    learned: list[bool]
    """For each message, whether its tokens are learned; only assistant turns are."""
    tools: list[Any] | None = None
    """Descriptions of tools that the template puts in front."""


def detect_format(source: Source, columns: Mapping[str, Any]) -> str:
    """Return the form that a file's columns speak for; what ``dataset_info.json`` says goes first."""
    if source.formatting:
        return source.formatting
    if form := form_of(columns):
        return form
    raise DataError(f"{source.path} has no known form; its columns are {shown_columns(columns)}", KNOWN_FORMS)


def converter(source: Source, formatting: str) -> Callable[[Row], Conversation]:
    """Return the function that turns one row of this file into a conversation."""
    if formatting == "alpaca":
        return lambda row: _from_alpaca(row, source)
    return lambda row: _from_turns(row, source, formatting)


def _from_alpaca(row: Row, source: Source) -> Conversation:
    """One question and its answer: instruction, input, output, and earlier turns in ``history``."""
    values = row.values
    question, answer = next(
        (pair for pair in ALPACA_COLUMNS if pair[0] in values and pair[1] in values), ALPACA_COLUMNS[0]
    )
    # As in LLaMA-Factory, a table of columns replaces the usual names instead of adding to them.
    names = (
        {"prompt": question, "query": "input", "response": answer, "history": "history", "system": "system"}
        if source.columns is None
        else source.columns
    )
    messages: list[Message] = []
    if system := _text(row, names.get("system"), optional=True):
        messages.append({"role": "system", "content": system})
    for turn in _list(row, names.get("history")):
        if not (isinstance(turn, list | tuple) and len(turn) == 2 and all(isinstance(t, str) for t in turn)):
            raise _misfit(row, "history must be a list of [question, answer] pairs of texts")
        messages += [{"role": "user", "content": turn[0]}, {"role": "assistant", "content": turn[1]}]
    prompt = _text(row, names.get("prompt"))
    query = _text(row, names.get("query"), optional=True)
    messages.append({"role": "user", "content": f"{prompt}\n{query}" if query else prompt})
    messages.append({"role": "assistant", "content": _text(row, names.get("response"))})
    return Conversation(row.place, messages, [message["role"] == "assistant" for message in messages])


def _from_turns(row: Row, source: Source, formatting: str) -> Conversation:
    """A list of turns: sharegpt (``from``, ``value``) or OpenAI's messages (``role``, ``content``)."""
    names, tags = source.columns or {}, source.tags or {}
    if formatting == "openai":
        column = names.get("messages", "messages")
        role_tag, content_tag = tags.get("role_tag", "role"), tags.get("content_tag", "content")
    else:
        usual = "conversations" if "conversations" in row.values else "conversation"
        column = names.get("messages", usual)
        role_tag, content_tag = tags.get("role_tag", "from"), tags.get("content_tag", "value")
    roles = _ROLES | {
        tags[f"{tag}_tag"]: role
        for tag, role in (
            ("user", "user"),
            ("assistant", "assistant"),
            ("observation", "tool"),
            ("function", "assistant"),
            ("system", "system"),
        )
        if f"{tag}_tag" in tags
    }
    calling = {"function_call", tags.get("function_tag")}
    if not isinstance(row.values.get(column), list | tuple):
        raise _misfit(row, f"{column} must be a list of turns")
    messages: list[Message] = []
    learned: list[bool] = []
    if system := _text(row, names.get("system", "system"), optional=True):
        messages.append({"role": "system", "content": system})
        learned.append(False)
    for number, turn in enumerate(row.values[column], start=1):
        if not isinstance(turn, dict) or role_tag not in turn:
            raise _misfit(
                row, f"turn {number} of {column} must be a record with {role_tag} and {content_tag}"
            )
        role = roles.get(turn[role_tag]) if isinstance(turn[role_tag], str) else None
        if role is None:
            raise _misfit(
                row, f"turn {number} has {role_tag} {turn[role_tag]!r}; known are {', '.join(sorted(roles))}"
            )
        message: Message = {"role": role, "content": _content(row, number, turn, content_tag)}
        if turn[role_tag] in calling and (calls := _calls(message["content"])):
            message |= {"content": "", "tool_calls": calls}
        if turn.get("tool_calls"):
            message["tool_calls"] = turn["tool_calls"]
        messages.append(message)
        # OpenAI's files switch single answers off with "weight": 0.
        learned.append(role == "assistant" and turn.get("weight") != 0)
    return Conversation(row.place, messages, learned, _tools(row, names.get("tools", "tools")))


def _calls(content: str) -> list[Any]:
    """Return the calls of tools that a turn writes as JSON, as chat templates take them; none if it is no such JSON."""
    try:
        written = json.loads(content)
    except ValueError:
        return []
    calls = written if isinstance(written, list) else [written]
    if not all(isinstance(call, dict) and "name" in call for call in calls):
        return []
    return [
        {"type": "function", "function": {**call, "arguments": call.get("arguments", {})}} for call in calls
    ]


def _tools(row: Row, column: str | None) -> list[Any] | None:
    """Return the tools that a conversation may use; files of LLaMA-Factory's form have them as a text of JSON."""
    tools = row.values.get(column) if column else None
    if isinstance(tools, str) and tools.strip():
        try:
            tools = json.loads(tools)
        except ValueError as error:
            raise _misfit(row, f"{column} is not valid JSON: {error}") from error
    if not isinstance(tools, list) or not tools:
        return None
    return [
        {"type": "function", "function": tool} if isinstance(tool, dict) and "function" not in tool else tool
        for tool in tools
    ]


def _content(row: Row, number: int, turn: dict[str, Any], content_tag: str) -> str:
    """Return the text of a turn; OpenAI also writes a list of parts, of which only texts can be learned."""
    content = turn.get(content_tag)
    if isinstance(content, str):
        return content
    if content is None and turn.get("tool_calls"):
        return ""
    if isinstance(content, list) and all(isinstance(part, dict) and "text" in part for part in content):
        return "".join(str(part["text"]) for part in content)
    raise _misfit(row, f"turn {number} must have a text in {content_tag}, found {_shown(content)}")


def _text(row: Row, column: str | None, *, optional: bool = False) -> str:
    value = row.values.get(column) if column else None
    if value is None and optional:
        return ""
    if not isinstance(value, str):
        raise _misfit(row, f"{column or 'the answer'} must be a text, found {_shown(value)}")
    return value


def _list(row: Row, column: str | None) -> list[Any]:
    value = row.values.get(column) if column else None
    # A CSV file writes an absent list as an empty cell.
    if value is None or value == "":
        return []
    if not isinstance(value, list | tuple):
        raise _misfit(row, f"{column} must be a list, found {_shown(value)}")
    return list(value)


def _misfit(row: Row, what: str) -> DataError:
    return DataError(f"{row.place}: {what}", "correct or remove this record")


def _shown(value: Any) -> str:
    if value is None:
        return "nothing"
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
