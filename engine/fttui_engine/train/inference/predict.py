"""``fttui predict``: an answer to every question of a data set, appended as it is written, gone on with after a kill."""

import dataclasses
import hashlib
import json
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from fttui_engine.errors import ExitCode, WrongRequestError
from fttui_engine.runs.files import read_json_or_none, write_json
from fttui_engine.spec.config import TrainingConfig
from fttui_engine.train.errors import EvaluationError
from fttui_engine.train.inference.generation import generation_config, write_batch
from fttui_engine.train.inference.loading import import_libraries, load_trained, say
from fttui_engine.train.inference.metrics import text_scores
from fttui_engine.train.inference.prompts import Prompt, prompt_of, read_prompts
from fttui_engine.train.inference.request import Request

PREDICTIONS = "generated_predictions.jsonl"
RESULTS = "predict_results.json"
_REQUEST = "predict_request.json"
_SECONDS_BETWEEN_LINES = 10.0


class Predictor(NamedTuple):
    """A model together with how it is to write."""

    model: Any
    tokenizer: Any
    config: TrainingConfig
    made_of: str
    """What tells this model from another, so that no file holds answers of two."""


def predict(request: Request) -> int:
    """Write the predictions of a request and print what they score."""
    config = request.config
    import_libraries(config)
    loaded = load_trained(request)
    if config.eval_dataset:
        config = dataclasses.replace(config, dataset=config.eval_dataset, eval_dataset=None, val_size=0.0)
    if config.val_size:
        prompts = held_out_prompts(config, loaded.tokenizer, say)
    else:
        prompts = read_prompts(config, loaded.tokenizer)
    folders = [*request.adapters, *([request.weights] if request.weights else [])]
    predictor = Predictor(loaded.model, loaded.tokenizer, config, made_of(config, folders))
    folder = Path(request.options["to"])
    try:
        results = write_predictions(predictor, prompts, folder, say)
    except KeyboardInterrupt:
        say(f"what was written is in {folder / PREDICTIONS}; the same command goes on with it")
        raise
    if request.options["json"]:
        print(json.dumps({"folder": str(folder), **results}))
    else:
        for name, value in results.items():
            print(f"{name:<20} {value:.4g}" if isinstance(value, float) else f"{name:<20} {value}")
    return ExitCode.DONE


def held_out_prompts(config: TrainingConfig, tokenizer: Any, log: Callable[[str], None]) -> list[Prompt]:
    """Return the questions of the evaluation data as training set it aside."""
    from fttui_engine.train.data.dataset import load_splits
    from fttui_engine.train.stages import stage_of

    reader = stage_of(config).reader(config, tokenizer)
    splits = load_splits(config, reader, tokenizer, log, lambda: None)
    sets = splits.evaluation
    examples = [each for part in sets.values() for each in part] if isinstance(sets, Mapping) else sets
    return [prompt_of(example, tokenizer) for example in examples]


def write_predictions(
    predictor: Predictor,
    prompts: Sequence[Prompt],
    folder: Path,
    log: Callable[[str], None],
    check_stop: Callable[[], None] = lambda: None,
    *,
    replace: bool = False,
) -> dict[str, Any]:
    """Write what is not written yet and return the scores, which also stand in ``predict_results.json``.

    ``replace`` lets answers of another model that are there already go, as after a training that was done anew.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _claim(folder, _fingerprint(predictor, prompts), replace=replace)
    path = folder / PREDICTIONS
    batch_size = predictor.config.per_device_eval_batch_size
    done = _whole_batches(path, batch_size, len(prompts))
    if done:
        log(f"{done} of {len(prompts)} answers were there already; going on with the rest")
    settings = generation_config(predictor.config, predictor.model, predictor.tokenizer)
    logged_at = time.monotonic()
    with path.open("a", encoding="utf-8") as file:
        for start in range(done, len(prompts), batch_size):
            check_stop()
            batch = prompts[start : start + batch_size]
            file.write("".join(_lines(predictor, batch, settings, start)))
            file.flush()
            if time.monotonic() - logged_at > _SECONDS_BETWEEN_LINES:
                log(f"{start + len(batch)} of {len(prompts)} answers written")
                logged_at = time.monotonic()
    results = _score(path, log)
    write_json(folder / RESULTS, results)
    log(f"{len(prompts)} answers are in {path}")
    return results


def _lines(predictor: Predictor, batch: Sequence[Prompt], settings: Any, start: int) -> list[str]:
    """Return the lines of one batch; its chance depends on its place, so that a resume draws the same."""
    from transformers import set_seed

    set_seed(predictor.config.seed + start)
    tokenizer = predictor.tokenizer
    answers = write_batch(predictor.model, tokenizer, [prompt.input_ids for prompt in batch], settings)
    return [
        json.dumps(
            {
                "prompt": tokenizer.decode(prompt.input_ids, skip_special_tokens=False),
                "predict": tokenizer.decode(
                    answer, skip_special_tokens=predictor.config.skip_special_tokens
                ).strip(),
                "label": prompt.reference,
            },
            ensure_ascii=False,
        )
        + "\n"
        for prompt, answer in zip(batch, answers, strict=True)
    ]


def _whole_batches(path: Path, batch_size: int, total: int) -> int:
    """Return how many answers are kept: those of whole batches; a line or batch that a kill cut is taken away."""
    if not path.exists():
        return 0
    with path.open("rb+") as file:
        lines = file.read().splitlines(keepends=True)
        whole = [line for line in lines if line.endswith(b"\n")]
        kept = len(whole) if len(whole) == total else len(whole) // batch_size * batch_size
        file.truncate(sum(len(line) for line in whole[:kept]))
    return kept


def _claim(folder: Path, fingerprint: str, *, replace: bool) -> None:
    """Refuse to mix answers to other questions, or of another model, into one file."""
    before = read_json_or_none(folder / _REQUEST) or {}
    if before.get("fingerprint") != fingerprint and (folder / PREDICTIONS).exists():
        if not replace:
            raise WrongRequestError(
                f"{folder / PREDICTIONS} holds answers of another model, to other questions, or written otherwise",
                "choose another folder with --to, or delete that file",
            )
        (folder / PREDICTIONS).unlink()
    write_json(folder / _REQUEST, {"fingerprint": fingerprint})


def _fingerprint(predictor: Predictor, prompts: Sequence[Prompt]) -> str:
    config = predictor.config
    settings = [
        config.do_sample, config.temperature, config.top_p, config.top_k, config.num_beams, config.max_length,
        config.max_new_tokens, config.repetition_penalty, config.length_penalty, config.skip_special_tokens,
        config.seed, config.per_device_eval_batch_size,
    ]  # fmt: skip
    content = json.dumps([predictor.made_of, settings, [list(prompt) for prompt in prompts]])
    return hashlib.sha256(content.encode()).hexdigest()


def made_of(config: TrainingConfig, folders: Iterable[str]) -> str:
    """Return something that changes when the weights do, without reading gigabytes of them."""
    stamps: list[Any] = [config.model_name_or_path, config.quantization_bit]
    for folder in folders:
        for file in sorted(Path(folder).glob("*.safetensors")):
            status = os.stat(file)
            stamps.append([str(file), status.st_size, status.st_mtime_ns])
    return json.dumps(stamps)


def _score(path: Path, log: Callable[[str], None]) -> dict[str, Any]:
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    pairs = [(line["predict"], line["label"]) for line in lines if line["label"] is not None]
    results: dict[str, Any] = {"predict_samples": len(lines)}
    if not pairs:
        return results
    try:
        results |= text_scores(*zip(*pairs, strict=True))
    except EvaluationError as error:
        log(f"warning: {error.message}; {error.hint}")
    return results
