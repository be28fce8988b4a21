"""``tokenized_path``: the splits of a run in a folder of the user's own, to be trained on without the data files."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy

from fttui_engine.spec.paths import PREPARED_INDEX
from fttui_engine.train.data.cache import building_folder
from fttui_engine.train.data.prepare import Preparation, token_settings
from fttui_engine.train.data.store import DamagedStoreError, Examples, Store, StoreWriter
from fttui_engine.train.data.tokenise import Tokenised
from fttui_engine.train.errors import DataError

if TYPE_CHECKING:
    from fttui_engine.train.data.dataset import Splits

_EVALUATION = "evaluation"


def save_folder(path: Path, splits: "Splits", preparation: Preparation, log: Callable[[str], None]) -> None:
    """Write the splits to a folder that is there as a whole or not at all."""
    evaluation = splits.evaluation
    named = dict(evaluation) if isinstance(evaluation, Mapping) else {"": evaluation} if evaluation else {}
    parts: dict[str, Sequence[Any]] = {"train": splits.train}
    parts |= {f"{_EVALUATION}-{number}": examples for number, examples in enumerate(named.values())}
    index = {
        "tokenizer": preparation.tokenizer_hash,
        "settings": _as_json(token_settings(preparation.config)),
        "evaluation": list(named),
    }
    try:
        with building_folder(path.parent, path.name) as building:
            for name, examples in parts.items():
                (building / name).mkdir()
                _write(building / name, examples)
            (building / PREPARED_INDEX).write_text(json.dumps(index, indent=1))
            building.rename(path)
    except OSError as error:
        raise DataError(
            f"prepared data cannot be written to {path}: {error.strerror or error}", "correct tokenized_path"
        ) from error
    log(f"data: saved to {path}; with it as tokenized_path the data files are not needed")


def load_folder(
    path: Path, preparation: Preparation, log: Callable[[str], None]
) -> tuple[Sequence[Any], Sequence[Any] | Mapping[str, Sequence[Any]]]:
    """Return what a folder holds for training and for evaluation; only a tokenizer of the same make may use it."""
    _require_ours(path)
    try:
        index = json.loads((path / PREPARED_INDEX).read_text())
        names: list[str] = index["evaluation"]
        train = _read(path / "train")
        evaluation = {name: _read(path / f"{_EVALUATION}-{number}") for number, name in enumerate(names)}
        made_by, settings = index["tokenizer"], index["settings"]
    except (OSError, ValueError, KeyError, TypeError, DamagedStoreError) as error:
        raise DataError(
            f"the prepared data in {path} is damaged: {error}", "delete the folder; it is then made again"
        ) from error
    if made_by != preparation.tokenizer_hash:
        raise DataError(
            f"the prepared data in {path} was made with another tokenizer or chat template",
            "take that model, or give another tokenized_path",
        )
    log(f"data: {len(train)} prepared examples taken from {path}; the data keys of the configuration rest")
    for name, value in _as_json(token_settings(preparation.config)).items():
        if name in settings and settings[name] != value:
            log(f"warning: it was prepared with {name}: {settings[name]}, not {value}")
    if names == [""]:
        return train, evaluation[""]
    return train, evaluation


def _require_ours(path: Path) -> None:
    if not (path / PREPARED_INDEX).is_file():
        raise DataError(
            f"{path} holds no data that fttui has prepared",
            "give a folder that does not exist yet in tokenized_path; what LLaMA-Factory has saved there cannot be read",
        )


def _write(folder: Path, examples: Sequence[Any]) -> None:
    writer = StoreWriter(folder)
    try:
        for example in examples:
            writer.append(Tokenised(example))
        writer.close({})
    finally:
        writer.abandon()


def _read(folder: Path) -> Examples:
    store = Store(folder)
    return Examples([store], numpy.arange(len(store)))


def _as_json(settings: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(json.dumps(settings))
    return found
