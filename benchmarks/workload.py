"""Models and data that the benchmarks make from seeds; nothing is downloaded."""

import json
import random
from pathlib import Path
from typing import Any

CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] "
    "+ '<|im_end|>' + '\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
_MARKS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")

# Sizes of Llamas by name, and of real models by their published configurations.
MODELS: dict[str, dict[str, Any]] = {
    "tiny": {
        "model_type": "llama", "vocab_size": 2048, "hidden_size": 64, "intermediate_size": 128,
        "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
    },
    "25m": {
        "model_type": "llama", "vocab_size": 8192, "hidden_size": 384, "intermediate_size": 1024,
        "num_hidden_layers": 12, "num_attention_heads": 6, "num_key_value_heads": 2,
    },
    "smollm2-135m": {
        "model_type": "llama", "vocab_size": 49152, "hidden_size": 576, "intermediate_size": 1536,
        "num_hidden_layers": 30, "num_attention_heads": 9, "num_key_value_heads": 3, "tie_word_embeddings": True,
    },
    "llama-3.2-1b": {
        "model_type": "llama", "vocab_size": 128256, "hidden_size": 2048, "intermediate_size": 8192,
        "num_hidden_layers": 16, "num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 64,
        "tie_word_embeddings": True, "rope_theta": 500000.0,
    },
    "qwen3-4b": {
        "model_type": "qwen3", "vocab_size": 151936, "hidden_size": 2560, "intermediate_size": 9728,
        "num_hidden_layers": 36, "num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 128,
        "tie_word_embeddings": True, "rope_theta": 1000000.0,
    },
    "llama-3.1-8b": {
        "model_type": "llama", "vocab_size": 128256, "hidden_size": 4096, "intermediate_size": 14336,
        "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 8, "rope_theta": 500000.0,
    },
}  # fmt: skip


def make_data(folder: Path, records: int, *, shortest: int = 15, longest: int = 140) -> Path:
    """Write made-up questions and answers with the spread of lengths of instruction data, and their table."""
    file = folder / "questions.json"
    if not file.is_file():
        rng = random.Random(0)  # noqa: S311
        words = ["".join(rng.choices("abcdefghijklmnoprstuvw", k=rng.randint(2, 8))) for _ in range(1500)]

        def text(count: int) -> str:
            return " ".join(rng.choices(words, k=count)) + "."

        rows = []
        for _ in range(records):
            count = int(min(max(rng.lognormvariate(3.4, 0.7), shortest), longest))
            rows.append({"instruction": text(count // 3 + 1), "input": "", "output": text(count)})
        folder.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(rows))
        (folder / "dataset_info.json").write_text(json.dumps({"questions": {"file_name": file.name}}))
    return file


def make_model(folder: Path, name: str, texts_from: Path) -> Path:
    """Write a model with random weights of the named size, and a tokenizer that learned from the data."""
    if not (folder / "config.json").is_file():
        import torch
        from transformers import AutoConfig, AutoModelForCausalLM

        tokenizer = _made_tokenizer(texts_from, min(MODELS[name]["vocab_size"], 8192))
        values = {
            "max_position_embeddings": 8192,
            "bos_token_id": None,
            "eos_token_id": tokenizer.eos_token_id,
            "pad_token_id": tokenizer.pad_token_id,
            **MODELS[name],
        }
        config = AutoConfig.for_model(values.pop("model_type"), **values)
        torch.manual_seed(0)
        device = "cuda" if torch.cuda.is_available() else "cpu"
        dtype = torch.bfloat16 if device == "cuda" else torch.float32
        with torch.device(device):
            model = AutoModelForCausalLM.from_config(config, dtype=dtype)
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    return folder


def _made_tokenizer(texts_from: Path, vocabulary: int) -> Any:
    from tokenizers import ByteLevelBPETokenizer
    from transformers import PreTrainedTokenizerFast

    pieces = ByteLevelBPETokenizer()
    texts = [text for row in json.loads(texts_from.read_text()) for text in row.values()]
    pieces.train_from_iterator(texts, vocab_size=vocabulary, special_tokens=list(_MARKS), show_progress=False)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=pieces._tokenizer, pad_token=_MARKS[0], eos_token=_MARKS[2], model_max_length=8192
    )
    tokenizer.chat_template = CHATML
    return tokenizer
