"""Train with one of the four trainers and print what its steps took, as JSON; ``throughput.py`` starts it.

All four run on transformers' Trainer, so one stopwatch fits all. It starts behind the first step, which warms up
allocators, and counts real tokens in the batches themselves.
"""

import argparse
import functools
import json
import os
import resource
import sys
import time
from pathlib import Path
from typing import Any

import yaml

RATE = 1e-4
RANK = 8
EXAMPLES_PER_STEP = 8


class Stopwatch:
    """What the steps of a run took, and the tokens in them that are no padding."""

    def __init__(self, pad_token_id: int) -> None:
        self._pad_token_id = pad_token_id
        self._started: tuple[float, float] | None = None
        self.tokens = self.places = self.steps = 0
        self.losses: list[float] = []
        self.cpu_seconds = self.wall_seconds = 0.0
        self.peak_bytes = self.resident_bytes = 0

    def watch_trainers(self) -> None:
        """Have every Trainer that is made from now on report to this stopwatch."""
        from transformers import Trainer, TrainerCallback

        watch = self

        class Probe(TrainerCallback):
            def on_train_begin(self, *_: Any, **__: Any) -> None:
                # Importing and loading may have had more resident for a moment.
                Path("/proc/self/clear_refs").write_text("5")
                watch.resident_bytes = memory_bytes("VmRSS")

            def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
                if state.global_step == 1:
                    watch.tokens = watch.places = 0
                    watch._started = (time.process_time(), time.monotonic())
                else:
                    watch.steps += 1

            def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
                if logs and "loss" in logs:
                    watch.losses.append(float(logs["loss"]))

            def on_train_end(self, *_: Any, **__: Any) -> None:
                assert watch._started is not None  # noqa: S101 - one step at least was trained
                watch.cpu_seconds = time.process_time() - watch._started[0]
                watch.wall_seconds = time.monotonic() - watch._started[1]
                watch.peak_bytes = memory_bytes("VmHWM")

        plain_init, plain_step = Trainer.__init__, Trainer.training_step

        @functools.wraps(plain_init)
        def init(trainer: Any, *arguments: Any, **options: Any) -> None:
            plain_init(trainer, *arguments, **options)
            trainer.add_callback(Probe())

        @functools.wraps(plain_step)
        def step(trainer: Any, model: Any, inputs: Any, *arguments: Any, **options: Any) -> Any:
            ids = inputs["input_ids"]
            watch.tokens += int((ids != watch._pad_token_id).sum())
            watch.places += ids.numel()
            return plain_step(trainer, model, inputs, *arguments, **options)

        Trainer.__init__, Trainer.training_step = init, step


def memory_bytes(name: str) -> int:
    """Return a line of this process's memory."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))


def llamafactory_values(work: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Return the configuration that fttui and LLaMA-Factory share."""
    values: dict[str, Any] = {
        "model_name_or_path": str(options.model),
        "stage": "sft",
        "do_train": True,
        "finetuning_type": options.method,
        "dataset": "questions",
        "dataset_dir": str(options.data.parent),
        "template": "chatml",
        "cutoff_len": 512,
        "output_dir": str(work / "output"),
        "per_device_train_batch_size": EXAMPLES_PER_STEP,
        "gradient_accumulation_steps": 1,
        "learning_rate": RATE,
        "num_train_epochs": 1,
        "max_steps": options.steps or -1,
        "logging_steps": 1,
        "save_strategy": "no",
        "report_to": "none",
        "use_cpu": True,
        "disable_gradient_checkpointing": not options.checkpointing,
    }
    if options.method == "lora":
        values["lora_rank"] = RANK
    if options.packing:
        # About as many places in a batch as the longest conversations of an unpacked one have.
        values |= {"neat_packing": True, "per_device_train_batch_size": EXAMPLES_PER_STEP // 4}
    return values


def fttui(work: Path, options: argparse.Namespace) -> None:
    """Train with fttui's worker, in a run folder as ``fttui start`` makes it."""
    from fttui_engine.train.__main__ import main

    values = llamafactory_values(work, options)
    if options.save_steps:
        values |= {"save_strategy": "steps", "save_steps": options.save_steps}
    make_run(work / "run", values)
    if main():
        sys.exit(1)


def make_run(folder: Path, values: dict[str, Any]) -> None:
    """Make a run's folder with its first attempt and point the environment to it."""
    from fttui_engine.runs.attempt import Launch, Request
    from fttui_engine.runs.run import Run
    from fttui_engine.spec.load import resolve
    from fttui_engine.spec.resolved import write_spec

    config = folder.with_name("config.yaml")
    config.write_text(yaml.safe_dump(values))
    resolved = resolve(config)
    if not resolved.ok:
        sys.exit("\n".join(str(error) for error in resolved.findings.errors))
    folder.mkdir()
    run = Run(folder)
    write_spec(resolved, run.spec_path)
    attempt = run.attempt(1)
    attempt.create(Request("scratch"))
    attempt.write_launch(Launch([sys.executable], {}, str(folder), None, None))
    os.environ |= {"FTTUI_RUN": run.id, "FTTUI_RUN_DIR": str(folder), "FTTUI_ATTEMPT": "1"}


def llamafactory(work: Path, options: argparse.Namespace) -> None:
    """Train with LLaMA-Factory."""
    from llamafactory.train.tuner import run_exp

    run_exp(llamafactory_values(work, options))


def messages(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Return the data as pairs of a prompt and a completion, both lists of messages."""
    return [
        {
            "prompt": [{"role": "user", "content": row["instruction"]}],
            "completion": [{"role": "assistant", "content": row["output"]}],
        }
        for row in json.loads(options.data.read_text())
    ]


def common_arguments(work: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Return what is said to transformers' Trainer and to trl; all else is their default."""
    return {
        "output_dir": str(work / "output"),
        "learning_rate": RATE,
        "per_device_train_batch_size": EXAMPLES_PER_STEP,
        "num_train_epochs": 1,
        "max_steps": options.steps or -1,
        "logging_steps": 1,
        "save_strategy": "no",
        "report_to": "none",
        "use_cpu": True,
        "disable_tqdm": True,
    }


def lora() -> Any:
    """Return the adapters that LLaMA-Factory makes of the same rank."""
    from peft import LoraConfig

    return LoraConfig(r=RANK, lora_alpha=2 * RANK, target_modules="all-linear", task_type="CAUSAL_LM")


def transformers(work: Path, options: argparse.Namespace) -> None:
    """Train with transformers' Trainer and its collator for labels, as its own examples do."""
    from peft import get_peft_model
    from transformers import (
        AutoModelForCausalLM,
        AutoTokenizer,
        DataCollatorForSeq2Seq,
        Trainer,
        TrainingArguments,
    )

    tokenizer = AutoTokenizer.from_pretrained(options.model)
    examples = []
    for row in messages(options):
        prompt = tokenizer.apply_chat_template(row["prompt"], add_generation_prompt=True, return_dict=False)
        ids = tokenizer.apply_chat_template(row["prompt"] + row["completion"], return_dict=False)
        examples.append({"input_ids": ids, "labels": [-100] * len(prompt) + ids[len(prompt) :]})
    model = AutoModelForCausalLM.from_pretrained(options.model)
    arguments = common_arguments(work, options) | {"gradient_checkpointing": options.checkpointing}
    Trainer(
        model=get_peft_model(model, lora()) if options.method == "lora" else model,
        args=TrainingArguments(**arguments),
        train_dataset=examples,
        data_collator=DataCollatorForSeq2Seq(tokenizer),
        processing_class=tokenizer,
    ).train()


def trl(work: Path, options: argparse.Namespace) -> None:
    """Train with trl's SFTTrainer, with its own defaults or in the precision of the others."""
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    arguments = common_arguments(work, options)
    if not options.own_defaults:
        arguments |= {"bf16": False, "gradient_checkpointing": options.checkpointing}
    if options.packing:
        arguments |= {
            "packing": True,
            "max_length": 512,
            "per_device_train_batch_size": EXAMPLES_PER_STEP // 4,
        }
    SFTTrainer(
        model=str(options.model),
        args=SFTConfig(**arguments),
        train_dataset=Dataset.from_list(messages(options)),
        peft_config=lora() if options.method == "lora" else None,
    ).train()


SIDES = {"fttui": fttui, "llamafactory": llamafactory, "transformers": transformers, "trl": trl}


def parser() -> argparse.ArgumentParser:
    """Return the options of one training."""
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("side", choices=SIDES)
    made.add_argument("--model", type=Path, required=True)
    made.add_argument("--data", type=Path, required=True)
    made.add_argument("--work", type=Path, required=True)
    made.add_argument("--result", type=Path, required=True)
    made.add_argument("--method", choices=("lora", "full"), default="lora")
    made.add_argument("--steps", type=int, default=0, help="default: one epoch")
    made.add_argument("--save-steps", type=int, default=0)
    made.add_argument("--packing", action="store_true")
    made.add_argument("--checkpointing", action="store_true", help="compute activations twice")
    made.add_argument("--own-defaults", action="store_true", help="leave precision and memory to trl")
    return made


def main() -> None:
    """Train and write the figures."""
    options = parser().parse_args()
    from transformers import AutoTokenizer

    watch = Stopwatch(AutoTokenizer.from_pretrained(options.model).pad_token_id)
    watch.watch_trainers()
    saves: list[dict[str, float]] = []
    if options.save_steps:
        from checkpoint_cost import watch_saves

        watch_saves(saves)
    SIDES[options.side](options.work, options)
    result = {
        "tokens": watch.tokens,
        "places": watch.places,
        "steps": watch.steps,
        "cpu_seconds": watch.cpu_seconds,
        "wall_seconds": watch.wall_seconds,
        "tokens_per_cpu_second": watch.tokens / watch.cpu_seconds,
        "peak_bytes": watch.peak_bytes,
        "above_start_bytes": watch.peak_bytes - watch.resident_bytes,
        "process_cpu_seconds": sum(resource.getrusage(resource.RUSAGE_SELF)[:2]),
        "losses": watch.losses,
        "saves": saves,
    }
    options.result.write_text(json.dumps(result))


if __name__ == "__main__":
    main()
