"""How many rows each rank takes: as the user says, as the checkpoint says, or by a look at what each can do."""

import time
from collections.abc import Callable, Sequence
from typing import Any

import torch

from fttui_engine.spec.config import TrainingConfig
from fttui_engine.train.errors import RanksError
from fttui_engine.train.loop.checkpoints import ResumePoint
from fttui_engine.train.loop.memory_watch import example_tokens
from fttui_engine.train.ranks.balance import RankSpeed, fewer_hosts, share_rows
from fttui_engine.train.ranks.group import Ranks

# Adam's two means, and the gradients that DDP copies into its buckets: what a step needs beside what is measured here.
_BYTES_BESIDE_EACH_WEIGHT = 12
_MOST_SENT_BYTES = 2**25


def settle_rows(
    ranks: Ranks,
    trainer: Any,
    config: TrainingConfig,
    resume: ResumePoint | None,
    log: Callable[[str], None],
) -> tuple[int, ...] | None:
    """Return the rows of each rank in a batch of all, ``None`` for equally many; all ranks have to ask."""
    total = config.per_device_train_batch_size * ranks.count
    if isinstance(ranks.wanted_rows, tuple):
        if len(ranks.wanted_rows) != ranks.count:
            log(
                f"ranks: run.rank_batches is for {len(ranks.wanted_rows)} processes; equal batches for {ranks.count}"
            )
            return None
        if sum(ranks.wanted_rows) != total:
            raise RanksError(
                f"run.rank_batches are {sum(ranks.wanted_rows)} examples together, and {ranks.count} processes with "
                f"per_device_train_batch_size: {config.per_device_train_batch_size} have {total}",
                f"choose numbers that are {total} together, or run.rank_batches: auto",
            )
        return ranks.wanted_rows
    if resume and resume.rank_rows and len(resume.rank_rows) == ranks.count:
        # Other rows would draw other numbers for dropout.
        return resume.rank_rows
    if config.fsdp != "no":
        log("ranks: equal batches, since run.rank_batches: auto needs the whole model on each GPU (ddp)")
        return None
    return _by_speed(total, ranks, trainer, config, log)


def _by_speed(
    total: int, ranks: Ranks, trainer: Any, config: TrainingConfig, log: Callable[[str], None]
) -> tuple[int, ...] | None:
    rows_per_second, most_rows = measure_speed(trainer, sizes_to_try(total, ranks.count))
    exchange_seconds = _exchange_seconds(trainer)
    answers = ranks.gather_objects((rows_per_second, most_rows, ranks.host, exchange_seconds))
    speeds = [RankSpeed(*answer[:3]) for answer in answers]
    sharing = share_rows(total, speeds)
    measured = ", ".join(
        f"rank {rank} on {speed.host} {speed.rows_per_second:.3g}/s (up to {speed.most_rows} at once)"
        for rank, speed in enumerate(speeds)
    )
    log(f"ranks: examples measured: {measured}")
    if sharing is None:
        raise RanksError(
            f"{total} examples at once do not fit into the memory of {ranks.count} processes",
            "lower per_device_train_batch_size and raise gradient_accumulation_steps, which trains the same",
        )
    equal = "+".join([str(config.per_device_train_batch_size)] * ranks.count)
    gain = "the only way that fits" if sharing.gain == float("inf") else f"{sharing.gain:.0%} faster"
    if len(set(sharing.rows)) > 1:
        log(f"ranks: batches of {sharing.shown} examples in place of {equal}: {gain} by what was measured")
    else:
        log(f"ranks: equal batches of {equal} examples are the fastest by what was measured")
    slowest = max(answer[3] for answer in answers)
    steps = config.gradient_accumulation_steps
    if fewer := fewer_hosts(sharing, speeds, batches_per_step=steps, exchange_seconds=slowest):
        log(
            f"warning: {fewer[0]} alone would take {fewer[1]:.0%} of the time that all hosts take together: exchanging "
            f"the gradients takes {slowest:.2g} s of each step"
        )
    return sharing.rows if len(set(sharing.rows)) > 1 else None


def sizes_to_try(total: int, count: int) -> list[int]:
    """Return the batches that a rank is measured with: half of its equal share, that share, and what it may get at most."""
    equal, most = total // count, total - count + 1
    return sorted({max(1, equal // 2), equal, min(2 * equal, most), min(3 * equal, most)})


def measure_speed(trainer: Any, sizes: Sequence[int]) -> tuple[float, int]:
    """Return the examples per second that this process learns from, and the largest of the sizes that fits.

    Nothing of it remains: no gradient, no step, no number drawn.
    """
    examples = trainer.train_dataset
    by_length = sorted(range(len(examples)), key=lambda index: example_tokens(examples[index]))
    with torch.random.fork_rng():
        speed, most = 0.0, 0
        for size in sizes:
            longest = [by_length[-1 - place % len(by_length)] for place in range(size)]
            spread = [by_length[place * len(by_length) // size % len(by_length)] for place in range(size)]
            try:
                _learn(trainer, longest, reserve=True)
                started = time.monotonic()
                _learn(trainer, spread)
                _learn(trainer, spread)
            except torch.OutOfMemoryError:
                torch.cuda.empty_cache()
                break
            speed, most = max(speed, 2 * size / (time.monotonic() - started)), size
    return speed, most


def _learn(trainer: Any, indices: Sequence[int], *, reserve: bool = False) -> None:
    """Do what one batch takes up to its gradients, and forget them; ``reserve`` holds what a step needs beside it."""
    model, device = trainer.model, trainer.args.device
    trained = [weight for weight in model.parameters() if weight.requires_grad]
    count = sum(weight.numel() for weight in trained) if reserve and device.type == "cuda" else 0
    held = torch.empty(_BYTES_BESIDE_EACH_WEIGHT * count, dtype=torch.uint8, device=device)
    inputs = trainer.data_collator([trainer.train_dataset[index] for index in indices])
    inputs.pop("token_counts", None)
    inputs = trainer._prepare_inputs(inputs)
    if trainer.args.activation_checkpointing:
        model.activation_checkpointing_enable(activation_checkpointing_kwargs={"use_reentrant": False})
    model.train()
    dtype = torch.bfloat16 if trainer.args.bf16 else torch.float16
    tokens = (inputs["labels"] != -100).sum().clamp(min=1)
    try:
        with torch.autocast(device.type, dtype, enabled=trainer.args.bf16 or trainer.args.fp16):
            loss = trainer.compute_loss(model, inputs, num_items_in_batch=tokens)
        loss.backward()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
    finally:
        del held
        for weight in trained:
            weight.grad = None


def _exchange_seconds(trainer: Any) -> float:
    """Return what exchanging the gradients of a step takes, by what a smaller message of that kind takes."""
    from torch import distributed

    size_bytes = sum(
        weight.numel() * weight.element_size()
        for weight in trainer.model.parameters()
        if weight.requires_grad
    )
    sent_bytes = max(4, min(size_bytes, _MOST_SENT_BYTES))
    message = torch.zeros(sent_bytes // 4, device=trainer.args.device)
    distributed.all_reduce(message)
    started = time.monotonic()
    distributed.all_reduce(message)
    if message.is_cuda:
        torch.cuda.synchronize(message.device)
    seconds = time.monotonic() - started
    return seconds * float(size_bytes / sent_bytes)
