"""Every kind of example that LLaMA-Factory ships is understood: it runs, or the reason why it cannot is given.

Of each example the keys that make it what it is stand here; the rest is in all of them.
"""

import json
from pathlib import Path

import pytest

from fttui_engine.spec.load import resolve

COMMON = """\
model_name_or_path: model
do_train: true
template: llama3
cutoff_len: 2048
max_samples: 1000
overwrite_cache: true
preprocessing_num_workers: 16
dataloader_num_workers: 4
output_dir: saves/out
logging_steps: 10
save_steps: 500
plot_loss: true
overwrite_output_dir: true
save_only_model: false
report_to: none
per_device_train_batch_size: 1
gradient_accumulation_steps: 8
learning_rate: 1.0e-4
num_train_epochs: 3.0
lr_scheduler_type: cosine
warmup_ratio: 0.1
bf16: true
ddp_timeout: 180000000
resume_from_checkpoint: null
"""
EVALUATED = "val_size: 0.1; per_device_eval_batch_size: 1; eval_strategy: steps; eval_steps: 500"
SFT_LORA = (
    "stage: sft; finetuning_type: lora; lora_rank: 8; lora_target: all; dataset: identity,alpaca_en_demo"
)
SFT_FULL = "stage: sft; finetuning_type: full; learning_rate: 1.0e-5; dataset: identity,alpaca_en_demo"

RUNS = {
    "lora sft": f"{SFT_LORA}; trust_remote_code: true",
    "lora sft evaluated": f"{SFT_LORA}; {EVALUATED}",
    "lora pretrain": "stage: pt; finetuning_type: lora; lora_target: all; dataset: c4_demo; template: null",
    "lora reward": "stage: rm; finetuning_type: lora; lora_target: all; dataset: dpo_en_demo",
    "lora dpo": "stage: dpo; finetuning_type: lora; lora_target: all; pref_beta: 0.1; pref_loss: sigmoid; "
    "dataset: dpo_en_demo; learning_rate: 5.0e-6",
    "lora kto": "stage: kto; finetuning_type: lora; lora_target: all; pref_beta: 0.1; dataset: kto_en_demo; "
    "learning_rate: 5.0e-6",
    "lora ppo": "stage: ppo; finetuning_type: lora; reward_model: saves/reward; dataset: identity,alpaca_en_demo; "
    "learning_rate: 1.0e-5; max_new_tokens: 512; top_k: 0; top_p: 0.9",
    "preprocess": f"{SFT_LORA}; tokenized_path: saves/dataset",
    "full sft": SFT_FULL,
    "qlora": f"{SFT_LORA}; quantization_bit: 4; quantization_method: bnb",
    "qlora on an NPU": f"{SFT_LORA}; quantization_bit: 4; quantization_method: bnb; double_quantization: false",
    "qlora of old": f"{SFT_LORA}; quantization_bit: 4; quantization_method: bitsandbytes",
    "fsdp_qlora": f"{SFT_LORA}; quantization_bit: 4; lora_target: q_proj,v_proj",
    "loraplus": f"{SFT_LORA}; loraplus_lr_ratio: 16.0; {EVALUATED}",
    "pissa": f"{SFT_LORA}; pissa_init: true; pissa_iter: 16; pissa_convert: true",
    "oft": "stage: sft; finetuning_type: oft; oft_block_size: 32; oft_target: all; dataset: identity",
    "muon": f"{SFT_FULL}; use_muon: true",
    "llama_pro": "stage: sft; finetuning_type: freeze; freeze_trainable_layers: 8; freeze_trainable_modules: all; "
    "use_llama_pro: true; dataset: identity",
    "dft": f"{SFT_FULL}; use_dft_loss: true",
    "eaft": f"{SFT_FULL}; use_eaft_loss: true",
    "vision keys, texts only": f"{SFT_LORA}; template: qwen3_vl_nothink; image_max_pixels: 262144; video_max_pixels: 16384",
    "evaluation as it was called": f"{SFT_FULL}; val_size: 0.1; evaluation_strategy: steps; eval_steps: 500; "
    "warmup_ratio: null; warmup_steps: 0.1",
    "quiet keys": f"{SFT_LORA}; include_num_input_tokens_seen: true; use_fast_tokenizer: true; do_eval: true",
}
# What each is refused for.
REFUSED = {
    "ray": (f"{SFT_LORA}; ray_num_workers: 4", {"ray_num_workers"}),
    "ktransformers": (f"{SFT_LORA}; use_kt: true", {"use_kt"}),
    "galore": (f"{SFT_FULL}; use_galore: true; galore_layerwise: true; galore_rank: 128", {"use_galore"}),
    "apollo": (
        f"{SFT_FULL}; use_apollo: true; apollo_layerwise: true; bf16: null; pure_bf16: true",
        {"use_apollo"},
    ),
    "badam": (f"{SFT_FULL}; use_badam: true; badam_mode: layer; badam_verbose: 2", {"use_badam"}),
    "adam_mini": (f"{SFT_FULL}; use_adam_mini: true", {"use_adam_mini"}),
    "asft": (f"{SFT_FULL}; use_asft_loss: true; asft_alpha: 0.1", {"use_asft_loss"}),
    "mixture of depths": (
        f"{SFT_FULL}; mixture_of_depths: convert; optim: paged_adamw_8bit",
        {"mixture_of_depths"},
    ),
    "fp8": (
        f"{SFT_FULL}; fp8: true; fp8_backend: torchao; fp8_enable_fsdp_float8_all_gather: true",
        {"fp8"},
    ),
    "benchmark of old": (
        "finetuning_type: lora; task: mmlu_test; template: fewshot; lang: en; n_shot: 5; dataset: identity",
        {"task", "lang", "n_shot"},
    ),
}


# Files for LLaMA-Factory's other commands: the verb that takes them here.
OTHER_VERBS = {
    "fttui predict FILE": "stage: sft; finetuning_type: lora; adapter_name_or_path: saves/lora; do_train: null; "
    "do_predict: true; eval_dataset: identity,alpaca_en_demo; predict_with_generate: true; max_samples: 50",
    "fttui export FILE": "adapter_name_or_path: saves/lora; do_train: null; export_dir: saves/merged; export_size: 5; "
    "export_device: cpu; export_legacy_format: false",
    "fttui chat FILE": "adapter_name_or_path: saves/lora; do_train: null; finetuning_type: lora; infer_backend: huggingface",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    model, adapter, data = tmp_path / "model", tmp_path / "saves" / "lora", tmp_path / "data"
    for place in (model, data):
        place.mkdir(parents=True)
    for name in ("config.json", "model.safetensors", "tokenizer.json"):
        (model / name).write_text('{"model_type": "llama"}')
    reward = tmp_path / "saves" / "reward"
    for place in (adapter, reward):
        place.mkdir(parents=True)
        (place / "adapter_config.json").write_text('{"peft_type": "LORA", "r": 8}')
        (place / "adapter_model.safetensors").write_text("x")
    (reward / "value_head.safetensors").write_text("x")
    question = {"instruction": "a", "input": "", "output": "b"}
    files = {
        "identity": (question, {}),
        "alpaca_en_demo": (question, {}),
        "c4_demo": ({"text": "a"}, {"columns": {"prompt": "text"}}),
        "dpo_en_demo": (
            {"conversations": [{"from": "human", "value": "a"}]}
            | {side: {"from": "gpt", "value": side} for side in ("chosen", "rejected")},
            {
                "formatting": "sharegpt",
                "ranking": True,
                "columns": {"messages": "conversations", "chosen": "chosen", "rejected": "rejected"},
            },
        ),
        "kto_en_demo": (
            {
                "messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}],
                "label": True,
            },
            {
                "formatting": "sharegpt",
                "columns": {"messages": "messages", "kto_tag": "label"},
                "tags": {
                    "role_tag": "role",
                    "content_tag": "content",
                    "user_tag": "user",
                    "assistant_tag": "assistant",
                },
            },
        ),
    }
    for name, (record, _) in files.items():
        (data / f"{name}.json").write_text(json.dumps([record]))
    table = {name: {"file_name": f"{name}.json"} | more for name, (_, more) in files.items()}
    (data / "dataset_info.json").write_text(json.dumps(table))
    return tmp_path


def errors_of(folder: Path, example: str) -> dict[str, str]:
    own = dict(line.split(": ", 1) for line in example.split("; "))
    shared = dict(line.split(": ", 1) for line in COMMON.splitlines())
    text = "".join(
        f"{key}: {value}\n" for key, value in (shared | own).items() if (key, value) != ("template", "null")
    )
    (folder / "example.yaml").write_text(text)
    return {error.key: error.message for error in resolve(Path("example.yaml"), cwd=folder).findings.errors}


@pytest.mark.parametrize("name", RUNS)
def test_an_example_that_runs(folder: Path, name: str) -> None:
    assert errors_of(folder, RUNS[name]) == {}


@pytest.mark.parametrize("name", REFUSED)
def test_an_example_that_is_refused_with_the_reason(folder: Path, name: str) -> None:
    example, keys = REFUSED[name]
    errors = errors_of(folder, example)
    assert set(errors) == keys
    for key, message in errors.items():
        assert message.startswith("example.yaml:"), key


@pytest.mark.parametrize("verb", OTHER_VERBS)
def test_a_file_that_trains_nothing_is_told_its_verb(folder: Path, verb: str) -> None:
    errors = errors_of(folder, OTHER_VERBS[verb])
    assert set(errors) == {"dataset"}
    assert verb in errors["dataset"]
