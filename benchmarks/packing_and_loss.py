"""What packing and the loss in chunks save on the CPU: real tokens per CPU second, and the peak of live tensors.

A small Llama made from its configuration, conversations of 20 to 200 tokens as instruction data has them:

    python benchmarks/packing_and_loss.py
"""

import time
import weakref

import numpy
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from transformers import AutoConfig, AutoModelForCausalLM

from fttui_engine.train.data.batches import Collator
from fttui_engine.train.data.packing import Packs
from fttui_engine.train.data.tokenise import IGNORED_LABEL, Example
from fttui_engine.train.loop.loss import ChunkedLoss

VOCABULARY = 32000
CUTOFF = 512
# Chunks as large in proportion to a batch as they are with the defaults at 128000 words and 8 x 2048 tokens.
CHUNK_TOKENS = 256


def made():
    """Return a small Llama."""
    torch.manual_seed(0)
    config = AutoConfig.for_model(
        "llama", vocab_size=VOCABULARY, hidden_size=256, intermediate_size=704, num_hidden_layers=8,
        num_attention_heads=8, num_key_value_heads=4, pad_token_id=0,
    )  # fmt: skip
    model = AutoModelForCausalLM.from_config(config, attn_implementation="sdpa")
    model.config.use_cache = False
    return model.train()


def conversations(count=256):
    """Return conversations with the lengths of instruction data."""
    numbers = numpy.random.default_rng(0)
    lengths = numpy.clip(numbers.lognormal(4.2, 0.6, count), 20, 200).astype(int)
    examples = []
    for length in lengths:
        ids = numbers.integers(1, VOCABULARY, length).astype(numpy.int32)
        labels = ids.copy()
        labels[: length // 3] = IGNORED_LABEL
        examples.append(Example(ids, labels))
    return examples


class LiveBytes(TorchDispatchMode):
    """The most bytes of tensors that were alive at once, beside the weights."""

    def __init__(self):
        super().__init__()
        self.peak = self.now = 0
        self._sizes = {}

    def _forget(self, key):
        self.now -= self._sizes.pop(key, 0)

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, torch.Tensor):
                storage = leaf.untyped_storage()
                if storage._cdata not in self._sizes:
                    self._sizes[storage._cdata] = storage.nbytes()
                    self.now += storage.nbytes()
                    self.peak = max(self.peak, self.now)
                    weakref.finalize(storage, self._forget, storage._cdata)
        return result


def batches(examples, rows):
    """Yield every batch with its number of real tokens."""
    order = numpy.random.default_rng(1).permutation(len(examples))
    collate = Collator(0)
    for start in range(0, len(order), rows):
        batch = collate([examples[index] for index in order[start : start + rows]])
        counts = batch.pop("token_counts", None)
        yield batch, int(batch["attention_mask"].sum() if counts is None else counts.sum())


def step(model, batch):
    """Take one step forward and backward."""
    model(**batch).loss.backward()
    model.zero_grad()


def measure(name, examples, rows, *, chunked):
    """Print the speed and memory of one way."""
    model = made()
    if chunked:
        ChunkedLoss(model, chunk_tokens=CHUNK_TOKENS).install()
    work = list(batches(examples, rows))
    step(model, work[0][0])
    start = time.process_time()
    for batch, _ in work:
        step(model, batch)
    seconds = time.process_time() - start
    tokens = sum(count for _, count in work)
    padded = sum(batch["input_ids"].numel() for batch, _ in work)
    with LiveBytes() as live:
        step(model, max((batch for batch, _ in work), key=lambda batch: batch["input_ids"].numel()))
    print(
        f"{name:34} {tokens / seconds:8.0f} tokens/CPU s   {100 * tokens / padded:4.0f} % real   "
        f"{live.peak / 2**20:6.0f} MiB peak beside the weights",
        flush=True,
    )


def main():
    """Measure all four ways."""
    plain = conversations()
    packed = Packs(plain, CUTOFF)
    for chunked in (False, True):
        loss = "loss in chunks" if chunked else "plain loss"
        measure(f"8 conversations, {loss}", plain, 8, chunked=chunked)
        measure(f"2 packed examples, {loss}", list(packed), 2, chunked=chunked)


if __name__ == "__main__":
    main()
