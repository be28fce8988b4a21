"""Checks of stage ppo: a reward model that is one, and nothing that its answers cannot be written or learned with."""

import os
from typing import TYPE_CHECKING

from fttui_engine.spec.lint.files import did_you_mean, similar_path

if TYPE_CHECKING:
    from fttui_engine.spec.lint import Lint

PPO_KEYS = ("ppo_", "reward_model")
OF_A_WHOLE_REWARD_MODEL = ("reward_model_adapters", "reward_model_quantization_bit")
# As written by train/models/value_head.py.
VALUE_HEAD = "value_head.safetensors"


def check_ppo(case: "Lint") -> None:
    """The keys of stage ppo fit the stage and each other."""
    if case.values["stage"] != "ppo":
        for name in case.written(PPO_KEYS):
            case.warn(name, f"{name} has no effect with stage: {case.values['stage']}; it is for ppo.")
        return
    _check_reward_model(case)
    _check_evaluation(case)
    _check_learning(case)
    _check_writing(case)


def _check_reward_model(case: "Lint") -> None:
    values = case.values
    model, kind = values.get("reward_model"), values["reward_model_type"]
    if model is None:
        if "reward_model" not in case.faulty:
            case.error(
                "reward_model",
                "reward_model is missing: stage: ppo needs something that scores answers. Train it with stage: rm, and "
                "name its output folder.",
                allowed="the output folder of a training with stage: rm",
            )
        return
    if kind == "lora":
        for name in case.written(OF_A_WHOLE_REWARD_MODEL):
            case.warn(name, f"{name} has no effect with reward_model_type: lora, which names an adapter.")
    if not os.path.isdir(model):
        suggestion = similar_path(model)
        case.error(
            "reward_model",
            f"There is no reward model at {model}." + did_you_mean(suggestion),
            found=model,
            allowed="an existing folder",
            suggestion=suggestion,
        )
    elif kind == "full" and os.path.isfile(os.path.join(model, "adapter_config.json")):
        case.error(
            "reward_model_type",
            f"{model} holds an adapter and no whole model; leave reward_model_type out.",
            found=kind,
            suggestion="reward_model_type: lora",
        )
    elif kind == "lora" and not os.path.isfile(os.path.join(model, "adapter_config.json")):
        case.error(
            "reward_model_type",
            f"{model} holds no adapter: it has no adapter_config.json. Set reward_model_type: full if it is a whole model.",
            found=kind,
            suggestion="reward_model_type: full",
        )
    elif not any(
        os.path.isfile(os.path.join(folder, VALUE_HEAD))
        for folder in (model, *values.get("reward_model_adapters", ()))
    ):
        case.error(
            "reward_model",
            f"{model} is no reward model: it has no {VALUE_HEAD}. Train one with stage: rm.",
            found=model,
            allowed="the output folder of a training with stage: rm",
        )


def _check_evaluation(case: "Lint") -> None:
    for key in ("eval_dataset", "val_size"):
        if case.values.get(key):
            case.error(
                key,
                f"stage: ppo measures its answers as it trains and evaluates nothing; remove {key}.",
                found=str(case.values[key]),
            )


def _check_learning(case: "Lint") -> None:
    values = case.values
    for key in ("neftune_noise_alpha", "torch_compile"):
        if values.get(key):
            case.error(
                key,
                f"stage: ppo cannot use {key}: what learns from answers has to compute what wrote them; remove it.",
                found=str(values[key]),
            )
    if values["lora_dropout"] > 0:
        case.warn(
            "lora_dropout", "lora_dropout has no effect with stage: ppo: it would blur all comparisons."
        )


def _check_writing(case: "Lint") -> None:
    values = case.values
    if values["num_beams"] > 1:
        case.error(
            "num_beams",
            "stage: ppo draws its answers by chance; a beam search writes answers that are likely already.",
            found=str(values["num_beams"]),
            allowed="1",
            suggestion="num_beams: 1",
        )
    if not values["do_sample"]:
        case.warn(
            "do_sample",
            "Without do_sample the model always gives its likeliest answer, and never finds a better one.",
            suggestion="do_sample: true",
        )
