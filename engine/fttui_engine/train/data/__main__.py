"""``python -P -m fttui_engine.train.data REQUEST``: prepares data and prints a report as JSON; for ``fttui data``."""

import json
import os
import sys
import traceback
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from fttui_engine.errors import ExitCode, FttuiError
from fttui_engine.spec.config import TrainingConfig
from fttui_engine.train.leash import end_with_starter
from fttui_engine.train.results import claim_stdout


def main() -> int:
    """Print the report on stdout; the log of the preparation and what goes wrong are for people, on stderr."""
    try:
        request = json.loads(sys.argv[1])
        config = TrainingConfig.from_values(request["values"])
    except (IndexError, ValueError, TypeError, KeyError):
        print("This process is started by: fttui data CONFIG", file=sys.stderr)
        return ExitCode.WRONG_REQUEST
    results = claim_stdout()
    if request.get("leash"):
        end_with_starter()
    try:
        report = _report(config, request["processes"], request["examples"])
        print(json.dumps(report), file=results, flush=True)
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
    except FttuiError as error:
        print(f"fttui: {error.message}", file=sys.stderr)
        if error.hint:
            print(f"  {error.hint}", file=sys.stderr)
        return error.exit_code
    except Exception as error:  # noqa: BLE001 - whatever it is, it is said in words
        from fttui_engine.train.failures import explain

        traceback.print_exc()
        failure = explain(error, config)
        print(f"fttui: {failure.message}\n  {failure.advice}", file=sys.stderr)
        return ExitCode.FAILED
    return ExitCode.DONE


def _report(config: TrainingConfig, processes: int, examples: int) -> dict[str, Any]:
    from fttui_engine.train.data.dataset import load_splits
    from fttui_engine.train.data.report import evaluation_sets, report_splits, report_steps, show_examples
    from fttui_engine.train.lean_imports import quieten
    from fttui_engine.train.models.load import find_model, load_tokenizer
    from fttui_engine.train.models.vocabulary import add_tokens
    from fttui_engine.train.stages import stage_of

    quieten(("datasets", "bitsandbytes"))
    lines: list[str] = []
    stage = stage_of(config)
    tokenizer = load_tokenizer(
        find_model(config), lines.append, for_chat=stage.NEEDS_CHAT_TEMPLATE, template=config.template
    )
    add_tokens(tokenizer, config, lines.append)
    reader = stage.reader(config, tokenizer)
    splits = load_splits(config, reader, tokenizer, lines.append, lambda: None, processes=processes)
    shown = {"train": splits.train, **evaluation_sets(splits)}
    return {
        "log": lines,
        **report_splits(splits, config),
        "steps": report_steps(len(stage.arrange(splits, config, lines.append).train), config, processes),
        "shown": {name: show_examples(each, examples, tokenizer) for name, each in shown.items()},
    }


if __name__ == "__main__":
    sys.exit(main())
