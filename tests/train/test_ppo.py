"""Stage ppo: its arithmetic against plain sums, and a policy that learns what a reward model prefers."""

import copy
import json
import math
import random
from pathlib import Path
from typing import Any

import pytest
import torch

from conftest import Worker
from fttui_engine.spec.config import TrainingConfig
from fttui_engine.train.errors import ModelError
from fttui_engine.train.stages.ppo_losses import (
    Judgement,
    KlCoefficient,
    ScoreScale,
    advantages_and_returns,
    policy_loss,
    token_rewards,
    whiten,
)
from fttui_engine.train.stages.rollout import Rollout, laid_out
from several_runs import numbers, prepare, run_all, weights

LENGTHS = (5, 2, 3)


@pytest.fixture
def mask() -> torch.Tensor:
    return torch.arange(5) < torch.tensor(LENGTHS).unsqueeze(-1)


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


# ---- Arithmetic ----


def test_the_score_is_given_at_the_last_token_and_every_token_pays_for_leaving(mask: torch.Tensor) -> None:
    kl, scores = draw(3, 5), draw(3, seed=1)
    rewards = token_rewards(scores, kl, mask, 0.3)
    for row, length in enumerate(LENGTHS):
        expected = [-0.3 * float(kl[row, token]) for token in range(length)]
        expected[-1] += float(scores[row])
        assert rewards[row].tolist() == pytest.approx(expected + [0.0] * (5 - length))


def test_advantages_are_the_sum_of_all_later_surprises(mask: torch.Tensor) -> None:
    rewards, values = draw(3, 5), draw(3, 5, seed=1)
    advantages, returns = advantages_and_returns(rewards, values, mask)
    for row, length in enumerate(LENGTHS):
        after = [float(value) for value in values[row, 1:length]] + [0.0]
        surprises = [
            float(rewards[row, token]) + 1.0 * after[token] - float(values[row, token])
            for token in range(length)
        ]
        for token in range(length):
            expected = sum(0.95 ** (later - token) * surprises[later] for later in range(token, length))
            assert float(advantages[row, token]) == pytest.approx(expected, abs=1e-5)
            assert float(returns[row, token]) == pytest.approx(expected + float(values[row, token]), abs=1e-5)


@pytest.mark.parametrize("keep_mean", [False, True])
def test_whitened_values_have_variance_one_over_the_tokens_of_answers(
    mask: torch.Tensor, keep_mean: bool
) -> None:
    values = 7 + 3 * draw(3, 5)
    white = whiten(values, mask, keep_mean=keep_mean)[mask]
    assert float(white.var()) == pytest.approx(1, abs=1e-4)
    assert float(white.mean()) == pytest.approx(float(values[mask].mean()) if keep_mean else 0, abs=1e-4)
    # One answer of one token has no variance.
    assert math.isfinite(float(whiten(values[:1, :1], mask[:1, :1])))


def test_the_loss_is_that_of_each_token_clipped(mask: torch.Tensor) -> None:
    logps, old_logps = 0.3 * draw(3, 5), 0.3 * draw(3, 5, seed=1)
    values, old_values = draw(3, 5, seed=2), draw(3, 5, seed=3)
    advantages, returns = draw(3, 5, seed=4), draw(3, 5, seed=5)
    loss = policy_loss(logps, values, Judgement(old_logps, old_values, advantages, returns, mask))
    policy, value, clipped = [], [], 0
    for row, length in enumerate(LENGTHS):
        for token in range(length):
            ratio = math.exp(float(logps[row, token]) - float(old_logps[row, token]))
            advantage = float(advantages[row, token])
            bounded = min(max(ratio, 0.8), 1.2)
            policy.append(-min(ratio * advantage, bounded * advantage))
            clipped += ratio * advantage > bounded * advantage
            now, old = float(values[row, token]), float(old_values[row, token])
            wanted = float(returns[row, token])
            near = min(max(now, old - 0.2), old + 0.2)
            value.append(max((now - wanted) ** 2, (near - wanted) ** 2))
    assert float(loss.policy) == pytest.approx(sum(policy) / 10, abs=1e-5)
    assert float(loss.value) == pytest.approx(0.5 * sum(value) / 10, abs=1e-5)
    assert float(loss.total) == pytest.approx(float(loss.policy) + 0.1 * float(loss.value), abs=1e-5)
    assert 0 < clipped < 10
    assert float(loss.clipped) == pytest.approx(clipped / 10)


def test_answers_that_the_policy_has_left_far_behind_teach_nothing(mask: torch.Tensor) -> None:
    logps = torch.full((3, 5), 5.0, requires_grad=True)
    before = Judgement(torch.zeros(3, 5), draw(3, 5), draw(3, 5, seed=1), draw(3, 5, seed=2), mask)
    loss = policy_loss(logps, draw(3, 5, seed=3), before).total
    loss.backward()
    assert loss.item() == 0
    assert logps.grad is not None
    assert not logps.grad.any()


def test_the_price_of_leaving_the_reference_follows_the_distance() -> None:
    coefficient = KlCoefficient(6.0)
    coefficient.update(6.6, 100)
    assert coefficient.value == pytest.approx(0.2 * (1 + 0.1 * 100 / 10_000))
    coefficient.update(60.0, 100)
    assert coefficient.value == pytest.approx(0.2 * 1.001 * 1.002)
    coefficient.update(-1.0, 100)
    assert coefficient.value == pytest.approx(0.2 * 1.001 * 1.002 * 0.998)


def test_scores_are_measured_by_all_scores_so_far() -> None:
    scale, seen = ScoreScale(), torch.empty(0)
    for step, count in enumerate((4, 1, 7)):
        scores = 3 + 2 * draw(count, seed=step)
        seen = torch.cat((seen, scores))
        normalised = scale.normalised(scores)
        expected = (scores - seen.mean()) / seen.std()
        assert normalised.tolist() == pytest.approx(expected.tolist(), abs=1e-5)


# ---- Answers ----


def test_answers_end_at_their_end_token_and_begin_in_one_column() -> None:
    ids = torch.tensor([[0, 7, 8], [5, 6, 7], [0, 0, 9]])
    answers = [torch.tensor([[4, 3, 0, 0], [4, 4, 4, 4]]), torch.tensor([[2]])]
    rollout = laid_out(ids, (ids > 0).long(), answers, ends=[2, 3], pad_token_id=0)
    assert rollout.answers.tolist() == [[4, 3, 0, 0], [4, 4, 4, 4], [2, 0, 0, 0]]
    assert rollout.lengths.tolist() == [2, 4, 1]
    ids, mask = rollout.padded_on_the_right()
    texts = [row[kept.bool()].tolist() for row, kept in zip(ids, mask, strict=True)]
    assert texts == [[7, 8, 4, 3], [5, 6, 7, 4, 4, 4, 4], [9, 2]]
    assert all(row.tolist() == sorted(row.tolist(), reverse=True) for row in mask)


def test_a_token_has_the_log_probability_and_the_value_of_an_unpadded_row(tiny_model: Path) -> None:
    from transformers import AutoModelForCausalLM

    from fttui_engine.train.models.value_head import add_policy_head

    model = AutoModelForCausalLM.from_pretrained(tiny_model)
    policy = add_policy_head(model, "nowhere").eval()
    rollout = Rollout(
        torch.tensor([[0, 0, 7, 8, 9, 0], [4, 5, 6, 7, 8, 9]]),
        torch.tensor([[0, 0, 1, 1, 1, 0], [1, 1, 1, 1, 1, 1]]),
        torch.tensor([[True, True, False], [True, True, True]]),
    )
    with torch.no_grad():
        logps, values = policy(*rollout[:2], 3)
        for row, (tokens, question) in enumerate((([7, 8, 9], 1), ([4, 5, 6, 7, 8, 9], 3))):
            outputs = model(torch.tensor([tokens]), output_hidden_states=True)
            expected = outputs.logits[0].log_softmax(-1)
            states = policy.v_head(outputs.hidden_states[-1])[0]
            for at, token in enumerate(tokens[question:]):
                place = question - 1 + at
                assert float(logps[row, at]) == pytest.approx(float(expected[place, token]), abs=1e-4)
                assert float(values[row, at]) == pytest.approx(float(states[place]), abs=1e-4)


# ---- Questions ----


@pytest.mark.parametrize(
    ("record", "described"),
    [
        ({"prompt": "Hi"}, {}),
        ({"instruction": "Hi", "input": ""}, {}),
        ({"instruction": "Hi", "output": "Hello"}, {}),
        ({"messages": [{"role": "user", "content": "Hi"}]}, {}),
        ({"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]}, {}),
        ({"conversations": [{"from": "human", "value": "Hi"}]}, {}),
        ({"a": "Hi"}, {"formatting": "alpaca", "columns": {"prompt": "a"}}),
        ({"a": "Hi", "b": "Yes"}, {"formatting": "alpaca", "columns": {"prompt": "a", "response": "b"}}),
    ],
)
def test_every_form_becomes_the_same_question(
    record: dict[str, Any], described: dict[str, Any], tokenizer: Any, tmp_path: Path
) -> None:
    from fttui_engine.train.data.sources import Source, read_rows
    from fttui_engine.train.stages.ppo import reader

    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps(record) + "\n")
    source = Source(path, **described)
    (row,) = read_rows(source)
    for cutoff_len, fits in ((64, True), (3, False)):
        config = TrainingConfig(
            model_name_or_path="m", dataset=("d",), stage="ppo", cutoff_len=cutoff_len, template=None
        )
        _, read = reader(config, tokenizer).for_source(source, row.values)
        tokenised = read(row)
        if fits:
            asked = tokenizer.apply_chat_template(
                [{"role": "user", "content": "Hi"}], add_generation_prompt=True
            )
            ids = asked["input_ids"] if hasattr(asked, "keys") else asked
            assert tokenised.example.input_ids.tolist() == ids
        else:
            assert tokenised.dropped == "question longer than cutoff_len"


def test_the_report_counts_steps_of_several_batches() -> None:
    from fttui_engine.train.data.report import report_steps

    config = TrainingConfig(
        model_name_or_path="m",
        dataset=("d",),
        stage="ppo",
        gradient_accumulation_steps=2,
        ppo_buffer_size=3,
    )
    steps = report_steps(100, config, 1)
    # 8 x 2 x 3 questions, the last ones fewer.
    assert (steps["per_step"], steps["steps_per_epoch"], steps["steps"]) == (48, 3, 9)


def test_a_reward_model_with_fewer_words_than_the_tokenizer_is_refused(
    tiny_model: Path, tokenizer: Any
) -> None:
    from transformers import AutoModelForCausalLM

    from fttui_engine.train.models.frozen import require_vocabulary

    model = AutoModelForCausalLM.from_pretrained(tiny_model)
    require_vocabulary(model, tokenizer, "reward_model")
    wider = copy.deepcopy(tokenizer)
    wider.add_tokens([f"new{number}" for number in range(model.config.vocab_size)])
    with pytest.raises(ModelError, match=r"reward_model knows \d+ words, and the tokenizer .* writes"):
        require_vocabulary(model, wider, "reward_model")


# ---- Learning ----

COLOURS = ("red", "green", "pink", "blue")
# A base that writes a few colours by chance, and a reward model that likes one of them.
BASE = {
    "finetuning_type": "full",
    "max_steps": 80,
    "per_device_train_batch_size": 16,
    "learning_rate": 3e-3,
    "save_strategy": "no",
}
REWARD = BASE | {"stage": "rm", "finetuning_type": "lora", "max_steps": 40, "per_device_train_batch_size": 8}
POLICY = {
    "stage": "ppo",
    "per_device_train_batch_size": 16,
    "learning_rate": 1e-3,
    "max_new_tokens": 12,
    "temperature": 1.0,
    "top_p": 1.0,
    "top_k": 0,
}
# The checkpoint cuts a logging window; 64 questions in batches of 24 end an epoch with a smaller one.
CASES: dict[str, dict[str, Any]] = {
    "lora": {"max_steps": 20, "save_steps": 14, "logging_steps": 4},
    "lora bf16 4 bit": {
        "max_steps": 5,
        "save_steps": 3,
        "logging_steps": 2,
        "bf16": True,
        "quantization_bit": 4,
        "per_device_train_batch_size": 6,
        "gradient_accumulation_steps": 2,
        "ppo_buffer_size": 2,
        "ppo_epochs": 2,
        "ppo_score_norm": True,
        "ppo_whiten_rewards": True,
        "gradient_checkpointing": True,
    },
    "full": {
        "finetuning_type": "full",
        "max_steps": 5,
        "save_steps": 3,
        "logging_steps": 2,
        "ppo_target": 0.1,
        "ppo_epochs": 2,
        "max_new_tokens": 6,
    },
}


def write_colours(folder: Path) -> dict[str, str]:
    """Write answers of colours, pairs of which the one with blue in it is better, and questions alone."""
    chance = random.Random(0)
    answers, pairs, questions = [], [], []
    for number in range(64):
        prompt = {"prompt": f"Say word{number}."}
        some = [chance.choice(COLOURS) for _ in range(chance.randint(2, 5))]
        others = [chance.choice(COLOURS[:3]) for _ in range(chance.randint(2, 5))]
        blue = ["blue" if chance.random() < 0.5 else word for word in others[1:]]
        answers.append({**prompt, "response": " ".join(some)})
        pairs.append({**prompt, "chosen": " ".join(["blue", *blue]), "rejected": " ".join(others)})
        questions.append(prompt)
    files = {"answers": answers, "pairs": pairs, "questions": questions}
    for name, records in files.items():
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    return {name: str(folder / f"{name}.jsonl") for name in files}


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory, home: Path) -> dict[str, tuple[Worker, Worker]]:
    """Return of each case a straight run, and one that began at its checkpoint."""
    folder = tmp_path_factory.mktemp("ppo")
    data = write_colours(folder)
    base = Worker(folder / "base", home, BASE | {"dataset": [data["answers"]]})
    of_base = {"model_name_or_path": str(base.output_dir)}
    reward = Worker(folder / "reward", home, REWARD | of_base | {"dataset": [data["pairs"]]})
    judged = of_base | {"reward_model": str(reward.output_dir), "dataset": [data["questions"]]}

    def make(name: str, kind: str) -> Worker:
        return Worker(folder / f"{name} {kind}", home, POLICY | judged | CASES[name])

    straight = {name: make(name, "straight") for name in CASES}
    for run in (base, reward, *straight.values()):
        prepare(run)
    run_all([base, reward, *straight.values()], home)
    resumed = {name: make(name, "resumed") for name in CASES}
    for name, run in resumed.items():
        prepare(run, straight[name].output_dir / f"checkpoint-{CASES[name]['save_steps']}")
    run_all(list(resumed.values()), home)
    return {name: (straight[name], resumed[name]) for name in CASES}


@pytest.mark.parametrize("name", list(CASES))
def test_a_resumed_run_equals_the_straight_one(learned: dict[str, tuple[Worker, Worker]], name: str) -> None:
    straight, resumed = learned[name]
    expected = [point for point in numbers(straight) if point["step"] > CASES[name]["save_steps"]]
    assert len(expected) == 2
    assert numbers(resumed) == expected
    assert weights(resumed) == weights(straight)
    assert "value_head.safetensors" in weights(straight)


def test_what_scores_well_becomes_likelier(learned: dict[str, tuple[Worker, Worker]]) -> None:
    straight, _ = learned["lora"]
    points = straight.metrics()
    assert points[-1]["reward"] > points[0]["reward"] + 1.5
    # Before the first step, the policy is its reference.
    assert points[0]["kl"] < 1 < points[-1]["kl"]
    assert 0 < points[-1]["answer_length"] <= 12
    assert all(point["value_loss"] > 0 and point["clip_fraction"] >= 0 for point in points)
    log = straight.run.attempt(1).log_path.read_text()
    assert "train: 64 examples, 16 per step" in log
    assert " reward " in log
    assert "reward: an adapter on the weights of the model" in log
    assert "reward: a model of its own" in learned["full"][0].run.attempt(1).log_path.read_text()


def test_the_saved_adapter_writes_what_was_learned(learned: dict[str, tuple[Worker, Worker]]) -> None:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    straight, _ = learned["lora"]
    base = AutoModelForCausalLM.from_pretrained(straight.values["model_name_or_path"])
    tokenizer = AutoTokenizer.from_pretrained(straight.output_dir)
    model = PeftModel.from_pretrained(base, straight.output_dir)
    asked = [{"role": "user", "content": "Say word3."}]
    question = str(tokenizer.apply_chat_template(asked, add_generation_prompt=True, tokenize=False))
    ids = tokenizer(question, add_special_tokens=False, return_tensors="pt")["input_ids"]

    def share_of_blue() -> float:
        torch.manual_seed(0)
        written = model.generate(
            input_ids=ids, max_new_tokens=12, do_sample=True, top_k=0, num_return_sequences=32
        )
        words = " ".join(tokenizer.batch_decode(written[:, ids.shape[1] :])).split()
        return sum("blue" in word for word in words) / len(words)

    learned_share = share_of_blue()
    with model.disable_adapter():
        assert learned_share > 1.3 * share_of_blue()


def test_an_adapter_on_shared_weights_scores_as_a_model_of_its_own(
    learned: dict[str, tuple[Worker, Worker]],
) -> None:
    from fttui_engine.train.models.adapters import add_adapter, save_adapter
    from fttui_engine.train.models.frozen import SharedRewardModel, can_share_weights, load_reward_model
    from fttui_engine.train.models.load import find_model, load_model

    straight, _ = learned["lora"]
    values = {name: straight.values[name] for name in ("model_name_or_path", "reward_model")}
    config = TrainingConfig(**values, dataset=("d",), stage="ppo")
    model = add_adapter(load_model(config, find_model(config)), config)
    assert can_share_weights(model, config)
    trained = {name for name, weight in model.named_parameters() if weight.requires_grad}
    shared = SharedRewardModel(model, str(config.reward_model))
    own = load_reward_model(config, str(config.reward_model))
    ids = torch.tensor([[5, 6, 7, 8], [9, 10, 0, 0]])
    assert torch.equal(shared.scores(ids, (ids > 0).long()), own.scores(ids, (ids > 0).long()))
    assert {name for name, weight in model.named_parameters() if weight.requires_grad} == trained
    save_adapter(model, str(straight.run.path / "saved"), None)
    # Nothing of the reward model is saved with what was trained.
    assert not list((straight.run.path / "saved").glob("*/"))
    for other in ({"add_tokens": ("new",)}, {"finetuning_type": "full"}, {"model_name_or_path": "demo:tiny"}):
        changed = TrainingConfig(**(values | {"dataset": ("d",), "stage": "ppo"} | other))
        base = load_model(changed, find_model(changed))
        assert not can_share_weights(base, changed)


def test_the_price_of_leaving_rises_beyond_the_target(learned: dict[str, tuple[Worker, Worker]]) -> None:
    straight, _ = learned["full"]
    prices = [point["kl_coefficient"] for point in straight.metrics()]
    assert prices[-1] > prices[0]
