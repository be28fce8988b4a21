"""The loss in chunks: equal to the plain one in value and gradient, and without the memory of its logits."""

import copy
import weakref

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from transformers import AutoConfig, AutoModelForCausalLM
from transformers.trainer_pt_utils import LabelSmoother

from fttui_engine.spec.config import TrainingConfig
from fttui_engine.train.loop.loss import ChunkedLoss, choose_loss

VOCABULARY = 3000
SIZES = {
    "vocab_size": VOCABULARY, "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16, "pad_token_id": 0, "eos_token_id": 1,
    "bos_token_id": 2, "dropout": 0.0,
}  # fmt: skip


def made(model_type="llama", **sizes):
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(model_type, **SIZES | sizes))
    model.config.use_cache = False
    return model.train()


def batch(rows=3, length=50):
    ids = torch.randint(1, VOCABULARY, (rows, length), generator=torch.Generator().manual_seed(1))
    labels = ids.clone()
    labels[:, : length // 3] = -100
    return {"input_ids": ids, "labels": labels}


def loss_and_gradients(model, inputs, **options):
    model.zero_grad()
    loss = model(**inputs, **options).loss
    loss.backward()
    gradients = {
        name: weight.grad.clone() for name, weight in model.named_parameters() if weight.requires_grad
    }
    return loss.detach(), gradients


def assert_same(found, expected):
    assert found[0] == pytest.approx(float(expected[0]), rel=1e-6)
    assert found[1].keys() == expected[1].keys()
    for name, gradient in expected[1].items():
        torch.testing.assert_close(found[1][name], gradient, rtol=1e-4, atol=1e-7)


def with_adapter(model, **options):
    adapted = get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", r=4, **options))
    for name, weight in adapted.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.05)
    return adapted


@pytest.mark.parametrize("model_type", ["llama", "qwen3", "gemma3_text", "mixtral", "granite", "opt"])
@pytest.mark.parametrize("items", [None, 61])
def test_it_is_the_plain_loss_for_every_kind_of_model(model_type, items):
    model = made(model_type)
    # Granite scales its logits, and Mixtral adds a loss of its own.
    options = {} if items is None else {"num_items_in_batch": torch.tensor(items)}
    expected = loss_and_gradients(model, batch(), **options)
    chunked = ChunkedLoss(model, chunk_tokens=17)
    assert chunked.problem() is None
    chunked.install()
    assert_same(loss_and_gradients(model, batch(), **options), expected)
    chunked.remove()
    assert_same(loss_and_gradients(model, batch(), **options), expected)


@pytest.mark.parametrize(
    "adapter",
    [
        {"target_modules": "all-linear"},
        {"target_modules": ["q_proj", "lm_head"]},
        {"target_modules": ["q_proj"], "modules_to_save": ["lm_head", "embed_tokens"]},
    ],
    ids=["head frozen", "adapter on the head", "head trained in full"],
)
def test_it_trains_what_an_adapter_trains_with_activations_recomputed(adapter):
    model = with_adapter(made(), **adapter)
    model.enable_input_require_grads()
    model.gradient_checkpointing_enable({"use_reentrant": False})
    expected = loss_and_gradients(model, batch())
    chunked = ChunkedLoss(model.get_base_model(), chunk_tokens=20)
    assert chunked.problem() is None
    chunked.install()
    assert_same(loss_and_gradients(model, batch()), expected)


def test_smoothed_labels_are_smoothed_as_the_trainer_does_it():
    model, inputs = made(), batch()
    smoother = LabelSmoother(0.2)
    expected = smoother(model(input_ids=inputs["input_ids"]), inputs["labels"], shift_labels=True)
    for in_evaluation in (True, False):
        chunked = ChunkedLoss(model, chunk_tokens=9, label_smoothing=0.2, in_evaluation=in_evaluation)
        assert chunked.problem() is None
        chunked.install()
        for training in (True, False):
            assert model.train(training)(**inputs).loss.item() == pytest.approx(expected.item(), rel=1e-5)
        chunked.remove()


def test_a_batch_without_anything_to_learn_has_a_gradient_of_zero():
    model = made()
    inputs = batch()
    inputs["labels"].fill_(-100)
    chunked = ChunkedLoss(model, chunk_tokens=9)
    chunked.install()
    loss, gradients = loss_and_gradients(model, inputs, num_items_in_batch=torch.tensor(5))
    assert loss == 0
    assert not any(gradient.any() for gradient in gradients.values())


def test_without_labels_and_for_metrics_there_are_logits_as_ever():
    model, inputs = made().eval(), batch()
    expected = model(**inputs).logits
    chunked = ChunkedLoss(model, chunk_tokens=9, in_evaluation=False)
    chunked.install()
    assert torch.equal(model(input_ids=inputs["input_ids"]).logits, expected)
    assert torch.equal(model(**inputs).logits, expected)


def config(**values):
    return TrainingConfig(model_name_or_path="x", dataset=("x",), **{"chunked_loss": "true"} | values)


def test_a_model_that_bends_its_logits_keeps_the_plain_loss_and_the_log_says_so():
    model, lines = made("gemma2"), []
    assert not choose_loss(model, config(), lines.append)
    assert "gemma2 model changes its logits" in lines[0]
    assert "forward" not in vars(model)


def test_it_is_chosen_where_logits_are_large_unless_switched_off():
    large = {"per_device_train_batch_size": 64, "cutoff_len": 1024}
    for values, expected in [
        ({"chunked_loss": "auto"}, False),
        ({"chunked_loss": "auto"} | large, True),
        ({"chunked_loss": "false"} | large, False),
        ({"chunked_loss": "true", "cutoff_len": 16}, True),
    ]:
        lines = []
        assert choose_loss(made(), config(**values), lines.append) is expected
        assert len(lines) == expected
        assert all("chunked_loss: false" in line for line in lines)


class LogitBytes(TorchDispatchMode):
    """Counts what is alive at once in tensors as wide as the vocabulary."""

    def __init__(self):
        super().__init__()
        self.peak = self.now = 0
        self._known = set()

    def _forget(self, key, size):
        self._known.discard(key)
        self.now -= size

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, torch.Tensor) and leaf.shape[-1:] == (VOCABULARY,):
                storage = leaf.untyped_storage()
                key = storage._cdata
                if key not in self._known:
                    self._known.add(key)
                    self.now += storage.nbytes()
                    weakref.finalize(storage, self._forget, key, storage.nbytes())
                self.peak = max(self.peak, self.now)
        return result


def test_the_logits_of_a_batch_are_never_alive_together():
    model, inputs = made(), batch(rows=4, length=128)
    peaks = []
    for chunk_tokens in (None, 32):
        tried = copy.deepcopy(model)
        if chunk_tokens:
            ChunkedLoss(tried, chunk_tokens=chunk_tokens).install()
        with LogitBytes() as live:
            tried(**inputs).loss.backward()
        peaks.append(live.peak)
    whole = 4 * 4 * 128 * VOCABULARY
    assert peaks[0] >= 2 * whole
    # A chunk, its softmax and gradient, and the gradient of the output layer.
    assert peaks[1] < whole / 2
