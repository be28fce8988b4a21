"""Chat templates for models that come without one, by LLaMA-Factory's names: ``{}`` stands for the text of a turn.

A model's own template goes first wherever it has one, so only what base models are trained with stands here.
"""

from typing import NamedTuple

from fttui_engine.train.data.chat_template import AnswerEnd

BOS, EOS = "<bos>", "<eos>"
"""Pieces that stand for the tokenizer's own tokens of beginning and end."""

CHATML_SYSTEM = ("<|im_start|>system\n{}<|im_end|>\n",)
CHATML_USER = ("<|im_start|>user\n{}<|im_end|>\n",)
CHATML_OPENING = "<|im_start|>assistant\n"
CHATML_ANSWER = ("{}<|im_end|>\n",)
EMPTY_THOUGHT = "<think>\n\n</think>\n\n"


class Form(NamedTuple):
    """How the turns of a conversation are written; each piece becomes tokens by itself."""

    user: tuple[str, ...]
    opening: str
    """What stands between a question and its answer."""
    answer: tuple[str, ...]
    system: tuple[str, ...] = ("{}",)
    prefix: tuple[str, ...] = ()
    default_system: str = ""
    system_in_user: bool = False
    """The system text is part of the first question."""
    closing: str | None = None
    """The token that ends an answer, which then is the tokenizer's end token."""
    end: AnswerEnd = "in text"
    thinks: bool = False
    """Answers without a thought get an empty one."""


CHATML = Form(CHATML_USER, CHATML_OPENING, CHATML_ANSWER, CHATML_SYSTEM, closing="<|im_end|>")
GEMMA = Form(
    ("<start_of_turn>user\n{}<end_of_turn>\n",),
    "<start_of_turn>model\n",
    ("{}<end_of_turn>\n",),
    system=("{}\n\n",),
    prefix=(BOS,),
    system_in_user=True,
    closing="<end_of_turn>",
)
DEEPSEEK3 = Form(("<｜User｜>{}",), "<｜Assistant｜>", ("{}", EOS), prefix=(BOS,))  # noqa: RUF001
LLAMA2 = Form(
    (BOS, "[INST] {} [/INST]"), "", ("{}", EOS), system=("<<SYS>>\n{}\n<</SYS>>\n\n",), system_in_user=True
)

FORMS: dict[str, Form] = {
    "empty": Form(("{}",), "", ("{}",), end="none"),
    "default": Form(
        ("Human: {}", EOS, "\n"), "Assistant:", ("{}", EOS, "\n"), system=("System: {}", EOS, "\n")
    ),
    "alpaca": Form(
        ("### Instruction:\n{}\n\n",),
        "### Response:\n",
        ("{}", EOS, "\n\n"),
        default_system="Below is an instruction that describes a task. Write a response that appropriately completes "
        "the request.\n\n",
    ),
    "vicuna": Form(
        ("USER: {} ",),
        "ASSISTANT:",
        ("{}", EOS),
        default_system="A chat between a curious user and an artificial intelligence assistant. The assistant gives "
        "helpful, detailed, and polite answers to the user's questions.",
    ),
    "chatml": CHATML,
    "qwen": CHATML._replace(
        default_system="You are Qwen, created by Alibaba Cloud. You are a helpful assistant."
    ),
    "qwen3": CHATML._replace(thinks=True),
    "qwen3_nothink": CHATML,
    "yi": CHATML._replace(closing=None),
    "smollm": CHATML._replace(closing=None),
    "smollm2": CHATML._replace(
        closing=None,
        default_system="You are a helpful AI assistant named SmolLM, trained by Hugging Face.",
    ),
    "llama2": LLAMA2,
    "llama3": Form(
        ("<|start_header_id|>user<|end_header_id|>\n\n{}<|eot_id|>",),
        "<|start_header_id|>assistant<|end_header_id|>\n\n",
        ("{}<|eot_id|>",),
        system=("<|start_header_id|>system<|end_header_id|>\n\n{}<|eot_id|>",),
        prefix=(BOS,),
        closing="<|eot_id|>",
    ),
    "llama4": Form(
        ("<|header_start|>user<|header_end|>\n\n{}<|eot|>",),
        "<|header_start|>assistant<|header_end|>\n\n",
        ("{}<|eot|>",),
        system=("<|header_start|>system<|header_end|>\n\n{}<|eot|>",),
        prefix=(BOS,),
        closing="<|eot|>",
    ),
    "mistral": Form(
        ("[INST] {}[/INST]",), "", (" {}", EOS), system=("{}\n\n",), prefix=(BOS,), system_in_user=True
    ),
    "ministral": Form(
        ("[INST]{}[/INST]",), "", ("{}", EOS), system=("{}\n\n",), prefix=(BOS,), system_in_user=True
    ),
    "mistral_small": Form(
        ("[INST]{}[/INST]",), "", ("{}", EOS), system=("[SYSTEM_PROMPT]{}[/SYSTEM_PROMPT]",), prefix=(BOS,)
    ),
    "gemma": GEMMA,
    "gemma2": GEMMA._replace(closing=None, end="behind"),
    "gemma3": GEMMA,
    "phi": Form(
        ("<|user|>\n{}<|end|>\n",),
        "<|assistant|>\n",
        ("{}<|end|>\n",),
        system=("<|system|>\n{}<|end|>\n",),
        closing="<|end|>",
    ),
    "phi4": Form(
        ("<|im_start|>user<|im_sep|>{}<|im_end|>",),
        "<|im_start|>assistant<|im_sep|>",
        ("{}<|im_end|>",),
        system=("<|im_start|>system<|im_sep|>{}<|im_end|>",),
        closing="<|im_end|>",
    ),
    "deepseek": Form(("User: {}\n\n",), "Assistant:", ("{}", EOS), system=("{}\n\n",), prefix=(BOS,)),
    "deepseek3": DEEPSEEK3,
    "deepseekr1": DEEPSEEK3._replace(thinks=True),
    "glm4": Form(
        ("<|user|>\n{}",),
        "<|assistant|>",
        ("\n{}",),
        system=("<|system|>\n{}",),
        prefix=("[gMASK]<sop>",),
        end="behind",
    ),
    "zephyr": Form(
        ("<|user|>\n{}", EOS),
        "<|assistant|>\n",
        ("{}", EOS),
        system=("<|system|>\n{}", EOS),
        default_system="You are Zephyr, a helpful assistant.",
    ),
    "openchat": Form(("GPT4 Correct User: {}", EOS), "GPT4 Correct Assistant:", ("{}", EOS), prefix=(BOS,)),
}
