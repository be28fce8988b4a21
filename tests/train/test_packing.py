"""Conversations side by side in one example: as if each were alone, and nearly nothing is padding."""

import numpy
import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from fttui_engine.spec.config import TrainingConfig
from fttui_engine.train.data.batches import Collator
from fttui_engine.train.data.dataset import Splits
from fttui_engine.train.data.packing import Packs, fill, refuse_if_mixed
from fttui_engine.train.data.tokenise import IGNORED_LABEL, Example
from fttui_engine.train.errors import ModelError
from fttui_engine.train.loop.loss import ChunkedLoss
from fttui_engine.train.stages import stage_of

SIZES = {
    "vocab_size": 500, "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 4, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 16, "pad_token_id": 0, "eos_token_id": 1, "bos_token_id": 2,
    "sliding_window": 16, "layer_types": None,
}  # fmt: skip
LENGTHS = (30, 7, 19, 12, 28, 5, 9, 11)


def made(model_type, attention="sdpa", **sizes):
    torch.manual_seed(0)
    wanted = {key: value for key, value in (SIZES | sizes).items() if value is not None}
    model = AutoModelForCausalLM.from_config(
        AutoConfig.for_model(model_type, **wanted), attn_implementation=attention
    )
    # Random models hardly look at other tokens; these do.
    for name, weight in model.named_parameters():
        if name.endswith(("q_proj.weight", "k_proj.weight", "qkv_proj.weight", "o_proj.weight")):
            weight.data *= 20
    model.config.use_cache = False
    return model


def conversations(lengths=LENGTHS):
    numbers = numpy.random.default_rng(0)
    examples = []
    for length in lengths:
        ids = numbers.integers(3, 500, length).astype(numpy.int32)
        labels = ids.copy()
        labels[: length // 3] = IGNORED_LABEL
        examples.append(Example(ids, labels))
    return examples


def test_every_conversation_is_in_one_place_and_none_is_too_long_for_it():
    numbers = numpy.random.default_rng(1)
    lengths = numbers.integers(1, 100, 500).tolist()
    groups = fill(lengths, 128)
    assert sorted(index for group in groups for index in group) == list(range(500))
    sums = [sum(lengths[index] for index in group) for group in groups]
    assert max(sums) <= 128
    assert sum(sums) / (128 * len(groups)) > 0.98
    assert fill(lengths, 128) == groups


def test_a_pack_is_its_conversations_with_positions_of_their_own():
    examples = conversations()
    packs = Packs(examples, 32)
    seen = []
    for pack in packs:
        starts = numpy.flatnonzero(pack.position_ids == 0)
        assert (pack.labels[starts] == IGNORED_LABEL).all()
        for start, end in zip(starts, [*starts[1:], len(pack.input_ids)], strict=True):
            assert pack.position_ids[start:end].tolist() == list(range(end - start))
            seen.append(pack.input_ids[start:end].tolist())
    assert sorted(seen) == sorted(example.input_ids.tolist() for example in examples)
    # What was handed in is not changed.
    assert all(
        (ours.labels == theirs.labels).all() for ours, theirs in zip(conversations(), examples, strict=True)
    )


@pytest.mark.parametrize(
    ("model_type", "attention"),
    [
        ("llama", "sdpa"), ("llama", "eager"), ("qwen2", "sdpa"), ("qwen3", "sdpa"), ("mistral", "sdpa"),
        ("gemma2", "eager"), ("gemma3_text", "sdpa"), ("phi3", "sdpa"), ("mixtral", "sdpa"),
    ],
)  # fmt: skip
def test_what_is_learned_is_what_each_alone_would_teach(model_type, attention):
    model = made(model_type, attention).eval()
    examples = conversations()
    collate = Collator(0)
    count = sum(int((example.labels[1:] != IGNORED_LABEL).sum()) for example in examples)
    alone = [model(**collate([example]), num_items_in_batch=count).loss for example in examples]
    expected = sum(alone)
    gradients = torch.autograd.grad(expected, model.get_input_embeddings().weight)[0]

    packed = collate(list(Packs(examples, 40)))
    assert packed.pop("token_counts").sum() == sum(LENGTHS)
    assert packed["input_ids"].shape[0] > 1
    assert "attention_mask" not in packed
    found = model(**packed, num_items_in_batch=count).loss
    assert found.item() == pytest.approx(expected.item(), abs=2e-5)
    torch.testing.assert_close(
        torch.autograd.grad(found, model.get_input_embeddings().weight)[0], gradients, rtol=1e-3, atol=5e-5
    )
    # The difference that it would make if they saw each other.
    del packed["position_ids"]
    mixed = model(**packed, num_items_in_batch=count).loss
    assert abs(mixed.item() - expected.item()) > 1e-3


def test_the_loss_in_chunks_learns_the_same_from_packed_examples():
    model = made("llama").train()
    packed = Collator(0)(list(Packs(conversations(), 40)))
    packed.pop("token_counts")
    expected = model(**packed).loss
    ChunkedLoss(model, chunk_tokens=13).install()
    assert model(**packed).loss.item() == pytest.approx(expected.item(), rel=1e-6)


def test_a_model_that_mixes_packed_texts_is_refused_and_others_are_not():
    for model_type in ("llama", "qwen3", "gemma3_text"):
        refuse_if_mixed(made(model_type))
    # Its memory runs on from one token to the next, whatever their positions.
    mamba = AutoModelForCausalLM.from_config(
        AutoConfig.for_model("mamba", vocab_size=500, hidden_size=32, num_hidden_layers=2, state_size=8)
    )
    with pytest.raises(ModelError, match="would see each other") as error:
        refuse_if_mixed(mamba)
    assert "packing: false" in error.value.hint


@pytest.mark.parametrize("values", [{"packing": True}, {"neat_packing": True}, {}])
def test_training_is_packed_where_asked_and_evaluation_never(values):
    config = TrainingConfig(model_name_or_path="x", dataset=("x",), cutoff_len=40, **values)
    splits, lines = Splits(conversations(), conversations()), []
    arranged = stage_of(config).arrange(splits, config, lines.append)
    assert arranged.evaluation is splits.evaluation
    if not values:
        assert arranged == splits
        return
    assert len(arranged.train) == 4
    assert "8 conversations packed into 4 examples" in lines[0]


def test_kernels_for_many_lengths_are_told_each_of_them():
    """What FlashAttention is given: boundaries of all texts in the batch, row after row, padding included."""
    packed = Collator(0)(list(Packs(conversations(), 40)))
    ends = packed["cu_seq_lens_q"]
    assert ends.dtype == torch.int32
    assert (ends[0], ends[-1]) == (0, packed["input_ids"].numel())
    positions = packed["position_ids"].reshape(-1)
    assert all(positions[start] == 0 for start in ends[:-1])
    assert packed["max_length_q"] == positions.max() + 1
