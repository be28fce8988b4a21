"""The embedded demo: a tiny Llama with a tokenizer, made on the spot, and an instruction set of our own."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

from fttui_engine.runs.home import state_home
from fttui_engine.spec.profiles import profiles_folder
from fttui_engine.train.errors import ModelError

DEMO_MODEL = "demo:tiny"
DEMO_INSTRUCTIONS = "demo:instructions"

CHATML_TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)

_PAD, _START, _END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"


def demo_instructions_path() -> Path:
    """Return the instruction set that is part of the installation."""
    return profiles_folder() / "demo" / "instructions.jsonl"


def demo_model_path() -> Path:
    """Return the folder of the tiny model, making it on first use (about 1 s, 4 MB)."""
    folder = state_home() / "demo" / "tiny"
    if (folder / "config.json").is_file():
        return folder
    folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    building = folder.with_name(f".tiny.{os.getpid()}.{os.urandom(3).hex()}")
    try:
        _build(building)
        # Two first runs at once both build the same bytes; the rename lets one of them win as a whole.
        os.rename(building, folder)
    except OSError as error:
        shutil.rmtree(building, ignore_errors=True)
        if not (folder / "config.json").is_file():
            raise ModelError(
                f"the demo model cannot be written to {folder}: {error.strerror}",
                "set FTTUI_HOME to a folder with a few free megabytes",
            ) from error
    return folder


def _build(folder: Path) -> None:
    """Write a Llama of 2 layers and width 128 (0.6 million weights) with a byte-level BPE tokenizer."""
    import torch
    from tokenizers import ByteLevelBPETokenizer
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    from fttui_engine.train.models.saving import write_model

    tokenizer = ByteLevelBPETokenizer()
    # 800 entries: the 256 bytes, the 3 special ones and the commonest pieces of the 12 kB of demo text.
    tokenizer.train_from_iterator(
        _demo_texts(), vocab_size=800, special_tokens=[_PAD, _START, _END], show_progress=False
    )
    fast: Any = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=tokenizer._tokenizer, pad_token=_PAD, eos_token=_END, model_max_length=512
    )
    fast.chat_template = CHATML_TEMPLATE
    config = LlamaConfig(
        vocab_size=len(fast),
        hidden_size=128,
        intermediate_size=352,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=512,
        # Dropout is on so that a resume that did not restore the random state would show in the demo.
        attention_dropout=0.1,
        tie_word_embeddings=False,
        # Five times the usual width: 120 steps of LoRA then reach a loss of 1.9 instead of 3.2.
        initializer_range=0.1,
        pad_token_id=fast.pad_token_id,
        eos_token_id=fast.eos_token_id,
        bos_token_id=None,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(20240229)
        model = LlamaForCausalLM(config)
    folder.mkdir(mode=0o700)
    fast.save_pretrained(folder)
    write_model(model, folder)


def _demo_texts() -> list[str]:
    lines = demo_instructions_path().read_text(encoding="utf-8").splitlines()
    return [text for line in lines for text in json.loads(line).values() if text]
