"""Optimizers, schedules and kernels: every name in the table works, and what was chosen is what was asked for."""

import copy
import inspect
import warnings

import pytest
import torch
from peft import LoraConfig, get_peft_model
from peft.optimizers import create_loraplus_optimizer
from transformers import Trainer
from transformers.optimization import TYPE_TO_SCHEDULER_FUNCTION
from transformers.trainer_utils import SchedulerType

from fttui_engine.spec.config import TrainingConfig
from fttui_engine.spec.keys import BITSANDBYTES_OPTIMIZERS, KEYS, TORCH_OPTIMIZERS
from fttui_engine.spec.lint.training import SCHEDULE_SETTINGS
from fttui_engine.train.errors import ModelError
from fttui_engine.train.loop.arguments import training_arguments
from fttui_engine.train.loop.optimizer import lora_plus, optimizer_with_rates
from fttui_engine.train.models.kernels import Kernels, kernels_for
from fttui_engine.train.models.load import find_model, load_model


def config(tmp_path, **values):
    values = {"use_cpu": True} | values
    return TrainingConfig(model_name_or_path="demo:tiny", dataset=("x",), output_dir=str(tmp_path), **values)


def arguments(tmp_path, kernels=Kernels(), **values):  # noqa: B008 - nothing in it changes
    return training_arguments(
        config(tmp_path, **values), evaluate=False, evaluation_due=False, kernels=kernels
    )


@pytest.mark.parametrize("name", TORCH_OPTIMIZERS + BITSANDBYTES_OPTIMIZERS)
def test_every_optimizer_learns_and_goes_on_from_its_saved_state(tmp_path, name):
    kind, options = Trainer.get_optimizer_cls_and_kwargs(arguments(tmp_path, optim=name, learning_rate=0.01))
    torch.manual_seed(0)
    # Below 4096 weights bitsandbytes keeps the state in 32 bits.
    model, inputs, targets = torch.nn.Linear(96, 96), torch.randn(96, 96), torch.randn(96, 96)

    def trained(model, optimizer, steps):
        for _ in range(steps):
            loss = ((model(inputs) - targets) ** 2).mean()
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
        return loss.item()

    optimizer = kind(model.parameters(), **options)
    with warnings.catch_warnings():
        # Paged states are plain memory on a CPU, says bitsandbytes.
        warnings.simplefilter("ignore")
        first = trained(model, optimizer, 1)
        trained(model, optimizer, 9)
        again = copy.deepcopy(model)
        resumed = kind(again.parameters(), **options)
        torch.save(optimizer.state_dict(), tmp_path / "optimizer.pt")
        resumed.load_state_dict(torch.load(tmp_path / "optimizer.pt", weights_only=True))
        assert trained(model, optimizer, 5) == trained(again, resumed, 5) < first
    assert torch.equal(model.weight, again.weight)


def test_settings_of_an_optimizer_reach_it(tmp_path):
    chosen = arguments(tmp_path, optim="sgd", optim_args={"momentum": 0.9, "nesterov": True})
    _, options = Trainer.get_optimizer_cls_and_kwargs(chosen)
    assert (options["momentum"], options["nesterov"]) == (0.9, True)


def test_the_settings_of_each_schedule_are_those_that_transformers_has():
    given = {"optimizer", "num_warmup_steps", "num_training_steps", "last_epoch"}
    assert set(SCHEDULE_SETTINGS) == set(KEYS["lr_scheduler_type"].choices)
    for name, settings in SCHEDULE_SETTINGS.items():
        names = set(inspect.signature(TYPE_TO_SCHEDULER_FUNCTION[SchedulerType(name)]).parameters)
        assert set(settings) == names - given, name


def adapted(tmp_path, **values):
    settings = config(tmp_path)
    options = {"target_modules": "all-linear"} | values
    return get_peft_model(
        load_model(settings, find_model(settings)), LoraConfig(task_type="CAUSAL_LM", **options)
    )


def rates_of(model, optimizer):
    """Rate and decay of every trained weight, by name."""
    of = {
        id(weight): (group["lr"], group["weight_decay"])
        for group in optimizer.param_groups
        for weight in group["params"]
    }
    return {name: of.pop(id(weight)) for name, weight in model.named_parameters() if weight.requires_grad}, of


@pytest.mark.parametrize(
    "layers", [{}, {"target_modules": ["q_proj", "embed_tokens"]}, {"modules_to_save": ["lm_head"]}]
)
def test_loraplus_moves_b_faster_than_a_as_peft_does_it(tmp_path, home, layers):
    settings = config(tmp_path, loraplus_lr_ratio=16.0, loraplus_lr_embedding=1e-5, weight_decay=0.1)
    model = adapted(tmp_path, **layers)
    trainer = Trainer(model, arguments(tmp_path, weight_decay=0.1))
    found, others = rates_of(model, optimizer_with_rates(trainer, model, lora_plus(settings)))
    assert others == {}
    theirs = create_loraplus_optimizer(
        model,
        torch.optim.AdamW,
        lr=settings.learning_rate,
        loraplus_lr_ratio=16.0,
        loraplus_lr_embedding=1e-5,
        loraplus_weight_decay=0.1,
    )
    expected, _ = rates_of(model, theirs)
    # peft gives both matrices of an embedding its rate, LLaMA-Factory the second only, and the first that of A.
    for name in expected:
        if "lora_embedding_A" in name:
            expected[name] = (settings.learning_rate, 0.1)
    assert found == expected
    assert len(set(found.values())) >= 2


def test_labels_are_smoothed_once(tmp_path):
    values = {"label_smoothing_factor": 0.1}
    assert arguments(tmp_path, **values).label_smoothing_factor == 0.1
    assert arguments(tmp_path, Kernels(chunked_loss=True), **values).label_smoothing_factor == 0.0


HALF = {"bf16": True, "use_cpu": False}
PACKED = HALF | {"packing": True}


@pytest.mark.parametrize(
    ("capability", "values", "expected", "words"),
    [
        (None, {"packing": True}, Kernels(), []),
        (None, {"enable_liger_kernel": True}, Kernels(), ["needs a GPU"]),
        ((8, 0), HALF, Kernels(tf32=True), ["sdpa", "TF32, because Ampere"]),
        ((8, 0), HALF | {"tf32": False}, Kernels(tf32=False), ["sdpa"]),
        ((7, 5), {"packing": True, "fp16": True}, Kernels(tf32=False), ["because Turing has no kernels"]),
        ((9, 0), {"packing": True}, Kernels(tf32=True), ["16 bits only", "TF32, because Hopper"]),
        ((9, 0), PACKED, Kernels(tf32=True), ["flash-attn is not installed", "TF32"]),
        ((9, 0), PACKED | {"flash_attn": "fa2"}, Kernels("flash_attention_2", tf32=True), ["TF32"]),
        (
            (7, 5),
            HALF | {"enable_liger_kernel": True},
            Kernels(tf32=False),
            ["sdpa", "Triton has no kernels"],
        ),
    ],
)
def test_each_choice_follows_the_card_and_is_one_line_with_its_reason(
    tmp_path, capability, values, expected, words
):
    lines = []
    assert kernels_for(config(tmp_path, **values), capability, lines.append) == expected
    assert len(lines) == len(words)
    for line, word in zip(lines, words, strict=True):
        assert word in line


def test_kernels_that_are_not_there_end_in_a_sentence(tmp_path):
    with pytest.raises(ModelError, match="needs a GPU"):
        kernels_for(config(tmp_path, flash_attn="fa2"), None, print)
    with pytest.raises(ModelError) as error:
        kernels_for(config(tmp_path, enable_liger_kernel=True), (9, 0), print)
    assert error.value.hint == "pip install liger-kernel"
