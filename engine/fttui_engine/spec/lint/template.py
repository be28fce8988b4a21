"""The name of a chat template: known to LLaMA-Factory, and there where the model has none of its own."""

import json
import os
from typing import TYPE_CHECKING

from fttui_engine.spec.findings import nearest
from fttui_engine.spec.lint.files import did_you_mean

if TYPE_CHECKING:
    from fttui_engine.spec.lint import Lint

BUILT_IN = "builtin:"
# Those that models without a template can be trained with; train/data/template_table.py writes them.
BUILT_IN_NAMES = (
    "empty default alpaca vicuna chatml qwen qwen3 qwen3_nothink yi smollm smollm2 llama2 llama3 llama4 mistral ministral "
    "mistral_small gemma gemma2 gemma3 phi phi4 deepseek deepseek3 deepseekr1 glm4 zephyr openchat"
)
# The further names of LLaMA-Factory 0.9.5, whose models all have a template of their own.
FURTHER_NAMES = (
    "aeva bailing bailing_v2 breeze chatglm3 chatml_de cohere cpm4 dbrx deepseekcoder dots_ocr ernie ernie_nothink "
    "ernie_vl exaone falcon falcon_h1 fewshot gemma3n gemma4 gemma4n glm4_5v glm4_7 glm4_moe glm4v glm_ocr glmz1 gpt_oss "
    "granite3 granite3_vision granite4 hunyuan hunyuan_small hy3 index intern2 intern_s1 intern_vl keye_vl kimi_vl lfm2 "
    "lfm2_vl llama2_zh llava llava_next llava_next_llama3 llava_next_mistral llava_next_qwen llava_next_video "
    "llava_next_video_mistral llava_next_video_yi llava_next_yi mimo mimo_v2 mimo_vl minicpm_o minicpm_v minicpm_v_4_6 "
    "minimax1 minimax2 ministral3 mllama moonlight olmo openchat-3.6 opencoder paligemma paligemma_chat phi4_mini "
    "phi_small pixtral qwen2_audio qwen2_omni qwen2_vl qwen3_5 qwen3_5_nothink qwen3_6 qwen3_omni qwen3_omni_nothink "
    "qwen3_vl qwen3_vl_nothink sailor seed_coder seed_oss solar starchat telechat2 video_llava xuanyuan yi_vl youtu "
    "youtu_vl yuan"
)


def check_template(case: "Lint") -> None:
    """A name that nobody knows, or that is not built in where the model has no template of its own."""
    written = case.values.get("template")
    if written is None:
        return
    built_in = BUILT_IN_NAMES.split()
    name = written.removeprefix(BUILT_IN)
    known = built_in if written.startswith(BUILT_IN) else [*built_in, *FURTHER_NAMES.split()]
    if name not in known:
        suggestion = nearest(name, known)
        advice = did_you_mean(suggestion) or " Leave it out to use the model's own."
        case.error(
            "template",
            f"There is no chat template {name[:80]!r}{' among the built-in ones' if known is built_in else ''}.{advice}",
            found=written,
            allowed=f"one of {', '.join(known)}",
            suggestion=suggestion,
        )
    elif name not in built_in and case.values["stage"] != "pt" and _has_no_template(case):
        case.error(
            "template",
            f"The model has no chat template of its own, and fttui does not bring {name}. Choose a built-in one, such as "
            "default, alpaca or chatml, or put chat_template.jinja into the model's folder.",
            found=written,
            allowed=f"one of {', '.join(built_in)}",
        )


def _has_no_template(case: "Lint") -> bool:
    """Whether the model is a folder here that certainly has no chat template."""
    folder = case.values.get("model_name_or_path", "")
    path = os.path.join(folder, "tokenizer_config.json")
    if not os.path.isfile(path) or os.path.exists(os.path.join(folder, "chat_template.jinja")):
        return False
    if os.path.exists(os.path.join(folder, "chat_template.json")):
        return False
    try:
        with open(path, encoding="utf-8") as file:
            content = json.load(file)
    except (OSError, ValueError):
        # The worker says what is wrong with it.
        return False
    return isinstance(content, dict) and not content.get("chat_template")
