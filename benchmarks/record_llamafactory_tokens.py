"""Write down which tokens and labels LLaMA-Factory makes of some conversations, for tests/train to compare with.

    PYTHON benchmarks/record_llamafactory_tokens.py tests/train/llamafactory_tokens.json

PYTHON is an interpreter that has LLaMA-Factory 0.9.5.
"""

import json
import sys
from importlib import metadata
from pathlib import Path
from typing import Any


def _words(text: str) -> list[str]:
    return text.split()


CORPUS = [
    "Be brief and kind. What is the sum of two and three? The sum of two and three is five.",
    "### Instruction: user assistant system model Human: Assistant: User: USER: ASSISTANT: \n\n\n",
    "And of five and six? It is eleven, which is the sum. Thank you, that was kind of you!",
]
MARKS = _words(
    "<|im_start|> <|im_end|> <|im_sep|> <|eot_id|> <|eot|> <|start_header_id|> <|end_header_id|> <|header_start|> "
    "<|header_end|> <start_of_turn> <end_of_turn> <|system|> <|user|> <|assistant|> <|end|> [INST] [/INST] "
    "[SYSTEM_PROMPT] [/SYSTEM_PROMPT] <｜User｜> <｜Assistant｜> [gMASK] <sop> <|eom_id|> <|eom|> <|observation|>"  # noqa: RUF001
)
TEMPLATES = _words(
    "empty default alpaca vicuna chatml qwen qwen3 qwen3_nothink yi smollm smollm2 llama2 llama3 llama4 mistral "
    "ministral mistral_small gemma gemma2 gemma3 phi phi4 deepseek deepseek3 deepseekr1 glm4 zephyr openchat"
)
SHORT = ["What is the sum?", "It is five."]
LONG = ["What is it,\n and why?", " Five, kind of.\n", "And of six?\n\n", "Eleven!", "Thank you", ""]
THOUGHTS = ["a?", "<think>\nhm\n</think>\n\nFive.", "b?", "<think>\nso\n</think>\n\nSix."]
# Template, system, turns, options.
CASES: list[tuple[str, str, list[str], dict[str, Any]]] = [
    *((name, "", SHORT, {}) for name in TEMPLATES),
    *((name, "Be brief.", LONG, {}) for name in TEMPLATES),
    *(("chatml", "Be brief.", LONG, {"cutoff_len": length}) for length in (12, 30, 50, 70)),
    *(
        ("chatml", "Be brief.", LONG, {"cutoff_len": length, "mask_history": True})
        for length in (12, 30, 50, 999)
    ),
    ("chatml", "Be brief.", LONG, {"train_on_prompt": True, "cutoff_len": 40}),
    ("qwen3", "", THOUGHTS, {}),
    ("qwen3", "", LONG, {"enable_thinking": False}),
    ("qwen3", "", THOUGHTS, {"enable_thinking": False}),
]


def trained_merges() -> list[list[str]]:
    """Return the merges of a small byte-level BPE."""
    from tokenizers import ByteLevelBPETokenizer

    pieces = ByteLevelBPETokenizer()
    pieces.train_from_iterator(CORPUS, vocab_size=330, show_progress=False)
    return [list(merge) for merge in json.loads(pieces._tokenizer.to_str())["model"]["merges"]]


def tokenizer_of(merges: list[list[str]]) -> Any:
    """Return the tokenizer with these merges: first the bytes, then what is merged, then the marks."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = [*sorted(pre_tokenizers.ByteLevel.alphabet()), *("".join(merge) for merge in merges)]
    pieces = Tokenizer(
        models.BPE({word: number for number, word in enumerate(words)}, [(a, b) for a, b in merges])
    )
    pieces.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    pieces.decoder = decoders.ByteLevel()
    tokenizer: Any = PreTrainedTokenizerFast(tokenizer_object=pieces)  # type: ignore[no-untyped-call]
    tokenizer.add_special_tokens({"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>"})
    tokenizer.add_tokens(MARKS, special_tokens=True)
    return tokenizer


def labelled_runs(labels: list[int]) -> list[list[Any]]:
    """Return the labels that are learned as runs: where each starts, and its tokens."""
    runs: list[list[Any]] = []
    for place, label in enumerate(labels):
        if label != -100 and place and labels[place - 1] != -100:
            runs[-1][1].append(label)
        elif label != -100:
            runs.append([place, [label]])
    return runs


def record(merges: list[list[str]], name: str, system: str, turns: list[str], options: dict[str, Any]) -> Any:
    """Return what LLaMA-Factory makes of one conversation."""
    from llamafactory.data.processor.supervised import SupervisedDatasetProcessor
    from llamafactory.data.template import TEMPLATES, get_template_and_fix_tokenizer
    from llamafactory.hparams import DataArguments

    arguments = DataArguments(template=name, **{"cutoff_len": 999, **options})
    tokenizer = tokenizer_of(merges)
    template = get_template_and_fix_tokenizer(tokenizer, arguments)
    # Those of models that also see want an image processor even for texts.
    template.mm_plugin = TEMPLATES["default"].mm_plugin
    processor = SupervisedDatasetProcessor(template, tokenizer, None, arguments)
    roles = ("user", "assistant")
    messages = [{"role": roles[turn % 2], "content": text} for turn, text in enumerate(turns)]
    input_ids, labels = processor._encode_data_example(messages[:-1], messages[-1:], system, "", [], [], [])
    return {
        "template": name,
        "system": system,
        "turns": turns,
        "options": options,
        "input_ids": input_ids,
        "labels": labelled_runs(labels),
    }


def main(path: Path) -> None:
    """Write all cases to a file."""
    merges = trained_merges()
    lines = [json.dumps(record(merges, *case), ensure_ascii=False) for case in CASES]
    head = {"llamafactory": metadata.version("llamafactory"), "marks": MARKS, "merges": merges}
    start = json.dumps(head, ensure_ascii=False)[:-1]
    path.write_text(start + ', "cases": [\n' + ",\n".join(lines) + "\n]}\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
