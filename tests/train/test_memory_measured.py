"""The tensors that real training keeps, counted operation by operation, against the prediction."""

import weakref
from contextlib import ExitStack
from copy import deepcopy
from typing import Any

import pytest
import torch
from torch.nn.functional import logsigmoid
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from transformers import AutoConfig, AutoModelForCausalLM

from fttui_engine.spec.config import TrainingConfig
from fttui_engine.spec.keys import KEYS
from fttui_engine.spec.memory.peak import predict
from fttui_engine.spec.memory.shape_reading import read_shape
from fttui_engine.spec.memory.workload import read_workload
from fttui_engine.train.loop.loss import choose_loss
from fttui_engine.train.models.adapters import add_adapter
from fttui_engine.train.models.freezing import freeze
from fttui_engine.train.models.load import weights_dtype
from fttui_engine.train.models.value_head import ValueModel, add_policy_head, add_value_head
from fttui_engine.train.models.value_head import answer_logps as answer_logps_of
from fttui_engine.train.stages.ppo_losses import Judgement, policy_loss
from fttui_engine.train.stages.preference_losses import answer_logps
from fttui_engine.train.stages.preference_trainer import switch_off_dropout
from fttui_engine.train.stages.rollout import laid_out

VOCABULARY = 4000
SIZES = {
    "vocab_size": VOCABULARY,
    "hidden_size": 256,
    "intermediate_size": 704,
    "num_hidden_layers": 6,
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "head_dim": 32,
    "pad_token_id": 0,
    "tie_word_embeddings": False,
    # Of those that have experts.
    "num_experts": 8,
    "num_local_experts": 8,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 352,
    "shared_expert_intermediate_size": 320,
}
NOT_TENSORS = ("libraries", "slack")


class LiveBytes(TorchDispatchMode):
    """Counts the bytes of all tensors that are alive, and the most there ever were."""

    def __init__(self, weights: list[torch.Tensor]) -> None:
        super().__init__()
        self.peak = self.now = 0
        self._sizes: dict[int, int] = {}
        for weight in weights:
            self._add(weight)

    def _add(self, tensor: torch.Tensor) -> None:
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key not in self._sizes:
            self._sizes[key] = storage.nbytes()
            self.now += storage.nbytes()
            self.peak = max(self.peak, self.now)
            weakref.finalize(storage, self._remove, key)

    def _remove(self, key: int) -> None:
        self.now -= self._sizes.pop(key, 0)

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = function(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, torch.Tensor):
                self._add(leaf)
        return result


KEPT: dict[str, Any] = {"gradient_checkpointing": False}
FULL: dict[str, Any] = {"finetuning_type": "full"}
FREEZE: dict[str, Any] = {"finetuning_type": "freeze"}
ATTENTION: dict[str, Any] = {"lora_target": ["q_proj", "k_proj", "v_proj", "o_proj"]}
OFT: dict[str, Any] = {"finetuning_type": "oft"}
ANSWERS: dict[str, Any] = {"stage": "ppo", "cutoff_len": 256, "max_new_tokens": 128}
# So that the experts themselves take most.
FEW_TOKENS: dict[str, Any] = {"cutoff_len": 64}
CHUNKED: dict[str, Any] = {"chunked_loss": "true"}
CASES: list[tuple[str, dict[str, Any]]] = [
    ("llama", {"bf16": True}),
    ("llama", {"bf16": True} | KEPT),
    ("llama", {}),
    ("llama", KEPT),
    ("llama", {"bf16": True} | FULL),
    ("llama", FULL),
    ("llama", {"pure_bf16": True} | FULL | KEPT),
    ("llama", {"bf16": True, "lora_dropout": 0.1} | KEPT),
    ("llama", {"bf16": True, "flash_attn": "disabled"} | KEPT),
    ("llama", {"bf16": True, "per_device_train_batch_size": 4, "cutoff_len": 256} | KEPT),
    ("mistral", {"bf16": True, "lora_target": ["q_proj", "v_proj"]} | KEPT),
    ("qwen3", {"bf16": True} | KEPT),
    ("phi3", {"bf16": True} | KEPT),
    ("gemma2", {"bf16": True} | KEPT),
    ("llama", {"bf16": True, "use_dora": True} | KEPT),
    ("llama", {"bf16": True, "additional_target": ["embed_tokens", "lm_head"]} | KEPT),
    ("llama", {"bf16": True} | FREEZE),
    ("llama", {"bf16": True} | FREEZE | KEPT),
    ("llama", {"bf16": True, "freeze_trainable_layers": -2} | FREEZE | KEPT),
    (
        "llama",
        {"bf16": True, "freeze_trainable_modules": ["mlp"], "freeze_extra_modules": ["norm"]} | FREEZE | KEPT,
    ),
    ("llama", {"bf16": True} | CHUNKED),
    ("llama", {"bf16": True} | CHUNKED | FULL),
    ("llama", CHUNKED | FULL | KEPT),
    ("llama", {"bf16": True, "stage": "dpo"}),
    ("llama", {"stage": "dpo"}),
    ("llama", {"bf16": True, "stage": "dpo"} | FULL),
    ("llama", {"bf16": True, "stage": "kto", "per_device_train_batch_size": 2}),
    ("llama", {"bf16": True, "stage": "rm"} | FULL),
    ("llama", {"bf16": True, "stage": "rm"} | KEPT),
    ("llama", {"bf16": True} | OFT | KEPT),
    ("llama", {"oft_rank": 4} | OFT | KEPT),
    ("llama", {"bf16": True} | ANSWERS),
    ("llama", {"bf16": True} | ANSWERS | FULL | KEPT),
    ("llama", {"per_device_train_batch_size": 2} | ANSWERS | KEPT),
    ("mixtral", {"bf16": True} | ATTENTION | KEPT),
    ("mixtral", {"bf16": True} | FEW_TOKENS),
    ("qwen2_moe", {"bf16": True} | KEPT),
    ("qwen3_moe", KEPT),
    ("qwen3_moe", {"bf16": True} | FULL),
]


@pytest.mark.parametrize(("model_type", "values"), CASES, ids=lambda case: str(case).replace(" ", ""))
def test_the_peak_of_real_training_is_predicted_within_6_percent(
    model_type: str, values: dict[str, Any]
) -> None:
    defaults = {name: key.default for name, key in KEYS.items()}
    fixed = {"per_device_train_batch_size": 1, "cutoff_len": 512, "optim": "adamw_torch_fused", "run": {}}
    settings = defaults | fixed | values
    config = AutoConfig.for_model(model_type, **SIZES)
    shape = read_shape(config.to_dict())
    prediction = predict(shape, read_workload(settings, shape, on_cpu=True, processes=1))
    predicted = sum(size for name, size in prediction.terms.items() if name not in NOT_TENSORS)
    assert predicted == pytest.approx(measured_peak(config, settings), rel=0.06)


def measured_peak(config: Any, values: dict[str, Any]) -> int:
    """Train two steps as the worker does; the second one has the optimizer's states too."""
    model = made(config, values)
    compares = values["stage"] in ("dpo", "kto", "ppo") and values["finetuning_type"] == "full"
    reference = deepcopy(model).requires_grad_(False) if compares else None
    if reference and values["bf16"]:
        reference.bfloat16()
    if values["stage"] == "rm":
        model = add_value_head(model, "nowhere").train()
    if values["stage"] == "ppo":
        model = add_policy_head(model, "nowhere")
        switch_off_dropout(model)
    trained = [weight for weight in model.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(trained, fused=True)
    paired = 2 if values["stage"] in ("rm", "dpo") else 1
    batch, length = paired * values["per_device_train_batch_size"], values["cutoff_len"]
    ids = torch.randint(1, VOCABULARY, (batch, length))
    mask = torch.ones_like(ids)
    if batch > 1:
        # One short example; without padding there would be no mask.
        mask[0, length // 2 :] = 0
    is_mixed = values["bf16"] and not values["pure_bf16"]
    weights = [*model.parameters(), *(reference.parameters() if reference else ())]
    if values["stage"] == "ppo":
        if reference is None:
            model.pretrained_model.add_adapter("reward", model.pretrained_model.peft_config["default"])
        scorer = ValueModel(deepcopy(reference) if reference else model.pretrained_model).eval()
        with LiveBytes([*weights, *scorer.parameters()]) as live:
            policy_steps(model, optimizer, ids, values, (reference, scorer))
        return live.peak
    with LiveBytes(weights) as live:
        for _ in range(2):
            with torch.autocast("cpu", torch.bfloat16, enabled=is_mixed):
                loss = loss_of(model, reference, ids, mask, values["stage"])
            loss.backward()
            del loss
            optimizer.step()
            optimizer.zero_grad()
    return live.peak


def policy_steps(
    model: Any, optimizer: Any, ids: torch.Tensor, values: dict[str, Any], others: tuple[Any, ...]
) -> None:
    """Two steps of stage ppo by its own parts; ``others`` are the reference and the reward model where they are apart."""
    reference, reward_model = others
    mask = torch.ones_like(ids)
    if len(ids) > 1:
        # One short question.
        mask[0, : ids.shape[1] // 2] = 0
    length = values["max_new_tokens"]
    # Written elsewhere: token by token, counting tensors takes twenty seconds.
    rollout = laid_out(ids, mask, [torch.randint(2, VOCABULARY, (len(ids), length))], [1], 0)
    for _ in range(2):
        with torch.autocast("cpu", torch.bfloat16, enabled=values["bf16"]):
            with torch.no_grad(), ExitStack() as stack:
                model.eval()
                reward_model.scores(*rollout.padded_on_the_right())
                logps, judged = model(*rollout[:2], length)
                if reference is None:
                    stack.enter_context(model.pretrained_model.disable_adapter())
                answer_logps_of(reference or model.pretrained_model, *rollout[:2], length)
            model.train()
            new_logps, new_values = model(*rollout[:2], length)
            before = Judgement(logps, judged, torch.randn_like(logps), judged, rollout.answer_mask)
            loss = policy_loss(new_logps, new_values, before).total
        loss.backward()
        del loss, new_logps, new_values
        optimizer.step()
        optimizer.zero_grad()


def loss_of(model: Any, reference: Any, ids: torch.Tensor, mask: torch.Tensor, stage: str) -> torch.Tensor:
    """The loss of a stage, by the parts of the worker that decide about memory."""
    if stage == "rm":
        values = model(input_ids=ids, attention_mask=mask)
        return -logsigmoid(values[0::2, -1] - values[1::2, -1]).mean()
    if stage in ("sft", "pt"):
        loss: torch.Tensor = model(input_ids=ids, attention_mask=mask, labels=ids).loss
        return loss
    ours = answer_logps(model(input_ids=ids, attention_mask=mask).logits, ids).total
    with torch.no_grad(), ExitStack() as stack:
        if reference is None:
            stack.enter_context(model.disable_adapter())
        theirs = answer_logps((reference or model)(input_ids=ids, attention_mask=mask).logits, ids).total
    return -logsigmoid(ours - theirs).mean()


def made(config: Any, values: dict[str, Any]) -> Any:
    """The model as the worker prepares it, with random weights."""
    settings = TrainingConfig.from_values(
        values | {"model_name_or_path": "made", "dataset": ["none"], "lora_alpha": 16}
    )
    has_kernel = values["flash_attn"] == "auto" and config.model_type != "gemma2"
    model: Any = AutoModelForCausalLM.from_config(
        config, dtype=weights_dtype(settings), attn_implementation="sdpa" if has_kernel else "eager"
    )
    model.config.use_cache = False
    match settings.finetuning_type:
        case "lora" | "oft":
            model = add_adapter(model, settings)
        case "freeze":
            freeze(model, settings)
    choose_loss(model, settings, lambda line: None)
    if settings.gradient_checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    return model.train()
