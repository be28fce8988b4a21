"""The loss of every step, side by side with LLaMA-Factory: the same YAML, data, model, seed and library versions.

    python benchmarks/llamafactory_equality.py --ours PYTHON --theirs PYTHON [--steps 50] [--work FOLDER] [CASE ...]

PYTHON is an interpreter that has fttui or LLaMA-Factory. Model, tokenizer and data are made from seeds; nothing is
downloaded. Exit status 1 where a loss differs by more than 1e-5.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml

TOLERANCE = 1e-5

_BASE = {
    "do_train": True,
    "template": "chatml",
    "cutoff_len": 128,
    "overwrite_cache": True,
    "logging_steps": 1,
    "save_strategy": "no",
    "report_to": "none",
    "seed": 42,
    "per_device_train_batch_size": 2,
    "gradient_accumulation_steps": 2,
    "lr_scheduler_type": "cosine",
    "warmup_steps": 5,
    "max_grad_norm": 1.0,
    "use_cpu": True,
    # LLaMA-Factory 0.9.5 patches what transformers 5.23 does no longer call like that; the loss is the same.
    "disable_gradient_checkpointing": True,
}
_LORA = {"finetuning_type": "lora", "lora_rank": 8, "lora_target": "all", "learning_rate": 5e-3}
_FULL = {"finetuning_type": "full", "learning_rate": 1e-3}
_PAIRS = {"dataset": "pairs", "gradient_accumulation_steps": 1, "pref_beta": 0.1}

CASES: dict[str, dict[str, object]] = {
    "sft lora": {"stage": "sft", **_LORA, "dataset": "questions", "max_samples": 150},
    "sft full": {"stage": "sft", **_FULL, "dataset": "questions"},
    "sft freeze": {
        "stage": "sft",
        "finetuning_type": "freeze",
        "freeze_trainable_layers": 1,
        "learning_rate": 1e-3,
        "dataset": "questions",
    },
    "sft two data sets": {"stage": "sft", **_LORA, "dataset": "questions,talks", "max_samples": 40},
    "sft turns": {"stage": "sft", **_LORA, "dataset": "talks"},
    "sft history": {"stage": "sft", **_LORA, "dataset": "histories"},
    "sft mask_history": {"stage": "sft", **_LORA, "dataset": "talks", "mask_history": True},
    "sft train_on_prompt": {"stage": "sft", **_LORA, "dataset": "talks", "train_on_prompt": True},
    "sft cut short": {"stage": "sft", **_LORA, "dataset": "talks", "cutoff_len": 48},
    "sft cut short, mask_history": {
        "stage": "sft",
        **_LORA,
        "dataset": "talks",
        "cutoff_len": 48,
        "mask_history": True,
    },
    "sft use_dft_loss": {"stage": "sft", **_LORA, "dataset": "questions", "use_dft_loss": True},
    "sft use_eaft_loss": {"stage": "sft", **_LORA, "dataset": "questions", "use_eaft_loss": True},
    "sft default_system": {"stage": "sft", **_LORA, "dataset": "talks", "default_system": "Be brief."},
    "sft val_size": {"stage": "sft", **_LORA, "dataset": "questions", "val_size": 0.1, "eval_strategy": "no"},
    "sft neat_packing": {"stage": "sft", **_LORA, "dataset": "questions", "neat_packing": True},
    "sft data_seed": {"stage": "sft", **_LORA, "dataset": "questions", "data_seed": 7},
    "pt one by one": {"stage": "pt", **_FULL, "dataset": "texts", "packing": False},
    "dpo lora": {"stage": "dpo", **_LORA, **_PAIRS, "learning_rate": 1e-3},
    "dpo full": {"stage": "dpo", **_FULL, **_PAIRS, "learning_rate": 1e-4},
    "dpo simpo": {"stage": "dpo", **_LORA, **_PAIRS, "pref_loss": "simpo", "learning_rate": 1e-3},
    "dpo orpo": {"stage": "dpo", **_LORA, **_PAIRS, "pref_loss": "orpo", "learning_rate": 1e-3},
    "dpo all terms, cut short": {
        "stage": "dpo",
        **_LORA,
        **_PAIRS,
        "learning_rate": 1e-3,
        "pref_ftx": 0.3,
        "pref_bco_weight": 0.5,
        "ld_alpha": 0.4,
        "dpo_label_smoothing": 0.1,
        "gradient_accumulation_steps": 2,
        "cutoff_len": 48,
    },
    "rm lora": {"stage": "rm", **_LORA, "dataset": "pairs", "learning_rate": 1e-3},
    "rm full": {"stage": "rm", **_FULL, "dataset": "pairs", "learning_rate": 1e-4},
    "kto lora": {"stage": "kto", **_LORA, "dataset": "tags", "learning_rate": 1e-3},
    "kto full": {"stage": "kto", **_FULL, "dataset": "tags", "learning_rate": 1e-4},
}

_MAKE_MODEL = """
import json, sys, torch
from pathlib import Path
from tokenizers import ByteLevelBPETokenizer
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
folder, texts = Path(sys.argv[1]), json.loads(Path(sys.argv[2]).read_text())
marks = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
pieces = ByteLevelBPETokenizer()
pieces.train_from_iterator(texts, vocab_size=1024, special_tokens=marks, show_progress=False)
tokenizer = PreTrainedTokenizerFast(
    tokenizer_object=pieces._tokenizer, pad_token=marks[0], eos_token=marks[2], model_max_length=1024
)
tokenizer.chat_template = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] "
    "+ '<|im_end|>' + '\\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
torch.manual_seed(0)
model = LlamaForCausalLM(LlamaConfig(
    vocab_size=len(tokenizer), hidden_size=64, intermediate_size=128, num_hidden_layers=4, num_attention_heads=4,
    num_key_value_heads=2, max_position_embeddings=1024, initializer_range=0.1, tie_word_embeddings=False,
    bos_token_id=None, eos_token_id=2, pad_token_id=0,
))
model.save_pretrained(folder)
tokenizer.save_pretrained(folder)
"""


def make_data(folder: Path) -> list[str]:
    """Write the data sets and their table, and return all texts."""
    rng = random.Random(0)  # noqa: S311
    letters = "abcdefghijklmnoprstuvw"
    words = ["".join(rng.choices(letters, k=rng.randint(2, 8))) for _ in range(300)]
    texts: list[str] = []

    def text(longest: int) -> str:
        parts = rng.choices(words, k=rng.randint(1, longest))
        made = "".join(f"{part}{rng.choice([' ', ' ', ' ', ', ', chr(10), '. ', ' é '])}" for part in parts)
        texts.append(rng.choice(["", "", " ", "\n"]) + made)
        return texts[-1]

    def turns(count: int) -> list[dict[str, str]]:
        return [{"from": ("human", "gpt")[turn % 2], "value": text(25)} for turn in range(count)]

    def question() -> dict[str, str]:
        return {"instruction": text(20), "input": rng.choice(["", text(20)])}

    files = {
        "questions": [question() | {"output": text(90)} for _ in range(200)],
        "histories": [
            question()
            | {"output": text(30), "system": rng.choice(["", text(5)])}
            | {"history": [[text(10), text(10)] for _ in range(rng.randint(0, 3))]}
            for _ in range(200)
        ],
        "talks": [
            {"conversations": turns(2 * rng.randint(1, 4)), "system": rng.choice(["", text(5)])}
            for _ in range(200)
        ],
        "texts": [{"text": text(150)} for _ in range(300)],
        "pairs": [question() | {"chosen": text(40), "rejected": text(40)} for _ in range(200)],
        "tags": [question() | {"output": text(40), "label": rng.random() < 0.6} for _ in range(200)],
    }
    usual = {"prompt": "instruction", "query": "input", "response": "output"}
    columns: dict[str, dict[str, object]] = {
        "questions": {},
        "histories": {"columns": usual | {"system": "system", "history": "history"}},
        "talks": {
            "formatting": "sharegpt",
            "columns": {"messages": "conversations", "system": "system"},
        },
        "texts": {"columns": {"prompt": "text"}},
        "pairs": {
            "ranking": True,
            "columns": {
                "prompt": "instruction",
                "query": "input",
                "chosen": "chosen",
                "rejected": "rejected",
            },
        },
        "tags": {"columns": usual | {"kto_tag": "label"}},
    }
    table = {name: {"file_name": f"{name}.json"} | columns[name] for name in files}
    folder.mkdir(parents=True)
    for name, records in files.items():
        (folder / f"{name}.json").write_text(json.dumps(records))
    (folder / "dataset_info.json").write_text(json.dumps(table))
    return texts


def losses_of_ours(python: str, case: Path, environment: dict[str, str]) -> list[float]:
    """Train with fttui and return the loss of each step."""
    environment = environment | {"FTTUI_HOME": str(case / "home")}
    start = [python, "-m", "fttui", "start", str(case / "ours.yaml"), "--name", "run", "--wait"]
    _run(start, environment, case / "ours.log")
    metrics = next((case / "home" / "runs").glob("*/metrics.jsonl"))
    return _losses(metrics, "step")


def losses_of_theirs(python: str, case: Path, environment: dict[str, str]) -> list[float]:
    """Train with LLaMA-Factory and return the loss of each step."""
    program = "import sys; from llamafactory.cli import main; sys.argv[0] = 'llamafactory-cli'; main()"
    _run([python, "-c", program, "train", str(case / "theirs.yaml")], environment, case / "theirs.log")
    return _losses(case / "theirs" / "trainer_log.jsonl", "current_steps")


def _losses(path: Path, step_key: str) -> list[float]:
    points = [json.loads(line) for line in path.read_text().splitlines()]
    return [point["loss"] for point in sorted(points, key=lambda point: point[step_key]) if "loss" in point]


def _run(command: list[str], environment: dict[str, str], log: Path) -> None:
    with log.open("wb") as file:
        code = subprocess.run(command, env=environment, stdout=file, stderr=file, check=False).returncode
    if code:
        raise RuntimeError(f"exit code {code}; the output is in {log}")


def main() -> int:
    """Compare the chosen cases and print one line for each."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--ours", required=True, metavar="PYTHON")
    parser.add_argument("--theirs", required=True, metavar="PYTHON")
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--work", type=Path, help="folder that is kept (default: a temporary one)")
    parser.add_argument("cases", nargs="*", metavar="CASE", help=f"of: {', '.join(CASES)}")
    options = parser.parse_args()
    unknown = set(options.cases) - set(CASES)
    if unknown:
        parser.error(f"no case is called {', '.join(unknown)}")

    with tempfile.TemporaryDirectory() as temporary:
        work = (options.work or Path(temporary)).absolute()
        if not (work / "model" / "config.json").is_file():
            (work / "texts.json").parent.mkdir(parents=True, exist_ok=True)
            (work / "texts.json").write_text(json.dumps(make_data(work / "data")))
            make = [options.theirs, "-c", _MAKE_MODEL, str(work / "model"), str(work / "texts.json")]
            subprocess.run(make, check=True)
        worst = [compare(name, work, options) for name in options.cases or CASES]
    return int(max(worst) > TOLERANCE)


def compare(name: str, work: Path, options: argparse.Namespace) -> float:
    """Run one case in both, print its line, and return the largest difference of a loss."""
    case = work / f"{name.replace(' ', '-').replace(',', '')}.{os.getpid()}"
    case.mkdir()
    for side in ("ours", "theirs"):
        values = {
            **_BASE,
            "model_name_or_path": str(work / "model"),
            "dataset_dir": str(work / "data"),
            "output_dir": str(case / side),
            "max_steps": options.steps,
            **CASES[name],
        }
        (case / f"{side}.yaml").write_text(yaml.safe_dump(values, sort_keys=False))
    environment = os.environ | {
        "OMP_NUM_THREADS": "1",
        "CUDA_VISIBLE_DEVICES": "",
        "HF_HUB_OFFLINE": "1",
        "DISABLE_VERSION_CHECK": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "HF_HOME": str(work / "hf"),
    }
    try:
        ours = losses_of_ours(options.ours, case, environment)
        theirs = losses_of_theirs(options.theirs, case, environment)
    except RuntimeError as error:
        print(f"{name:30} {error}", flush=True)
        return float("inf")
    if len(ours) != options.steps or len(theirs) != options.steps:
        print(f"{name:30} {len(ours)} and {len(theirs)} steps were logged", flush=True)
        return float("inf")
    difference = max(abs(one - other) for one, other in zip(ours, theirs, strict=True))
    first = next(
        (i for i, (a, b) in enumerate(zip(ours, theirs, strict=True), 1) if abs(a - b) > TOLERANCE), 0
    )
    where = f", beyond {TOLERANCE:g} from step {first}" if first else ""
    print(
        f"{name:30} max difference {difference:.1e} over {options.steps} steps "
        f"(loss {theirs[0]:.4f} to {theirs[-1]:.4f}){where}",
        flush=True,
    )
    return difference


if __name__ == "__main__":
    sys.exit(main())
