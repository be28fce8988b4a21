"""Using a trained model, in this process: predictions that survive a kill, merging, comparing, talking."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from fttui_engine.errors import WrongRequestError
from fttui_engine.train.errors import DataError, ModelError
from fttui_engine.train.inference import export as exporting
from fttui_engine.train.inference.chat import Conversation
from fttui_engine.train.inference.compare import Answers, compared, side_by_side
from fttui_engine.train.inference.export import export_model
from fttui_engine.train.inference.generation import end_tokens, generation_config, write_batch
from fttui_engine.train.inference.loading import load_trained
from fttui_engine.train.inference.metrics import text_scores
from fttui_engine.train.inference.predict import PREDICTIONS, Predictor, write_predictions
from fttui_engine.train.inference.prompts import Prompt, ask, read_prompts
from fttui_engine.train.inference.request import Request


@pytest.fixture(scope="module")
def adapter(tiny_model: Path, tokenizer: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An adapter that changes what the tiny model says, as a training would have left it."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(1)
    model: Any = AutoModelForCausalLM.from_pretrained(tiny_model)
    lora = LoraConfig(task_type="CAUSAL_LM", r=4, target_modules="all-linear", init_lora_weights=False)
    model = get_peft_model(model, lora)
    folder = tmp_path_factory.mktemp("adapter")
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def request_for(adapter: Path | None, **values: Any) -> Request:
    options = values.pop("options", {})
    values = {"model_name_or_path": "demo:tiny", "max_new_tokens": 6, "use_cpu": True, **values}
    adapters = [str(adapter)] if adapter else []
    return Request("test", "a test", values, adapters, None, "", [], options)


def logits_of(model: Any, ids: list[int]) -> torch.Tensor:
    with torch.inference_mode():
        logits: torch.Tensor = model(torch.tensor([ids])).logits[0]
    return logits


def test_answers_in_a_batch_are_those_of_each_question_alone(adapter: Path) -> None:
    request = request_for(adapter)
    model, tokenizer = load_trained(request)
    settings = generation_config(request.config, model, tokenizer, greedy=True)
    prompts = [
        ask(tokenizer, [{"role": "user", "content": text}]) for text in ("Hi", "Why is the sky blue?", "1 2")
    ]
    together = write_batch(model, tokenizer, prompts, settings)
    assert together == [write_batch(model, tokenizer, [prompt], settings)[0] for prompt in prompts]
    assert all(0 < len(answer) <= 6 for answer in together)


def test_an_answer_ends_where_the_template_ends_a_turn(tiny_model: Path, tokenizer: Any) -> None:
    model, _ = load_trained(request_for(None))
    before = tokenizer.eos_token, model.generation_config.eos_token_id
    try:
        tokenizer.eos_token = "<|endoftext|>"
        model.generation_config.eos_token_id = None
        ends = end_tokens(model, tokenizer)
    finally:
        tokenizer.eos_token, model.generation_config.eos_token_id = before
    assert tokenizer.convert_tokens_to_ids(["<|endoftext|>", "<|im_end|>"]) == ends


def test_predictions_that_were_cut_short_are_gone_on_with_and_come_out_the_same(
    adapter: Path, tmp_path: Path
) -> None:
    # Drawn by chance, so that a resume that drew anew would show.
    request = request_for(adapter, per_device_eval_batch_size=2, temperature=2.0, top_p=1.0)
    model, tokenizer = load_trained(request)
    predictor = Predictor(model, tokenizer, request.config, "this model")
    texts = ["Hi", "Why?", "How are you?", "Name a fruit.", "Add 1 and 2."]
    prompts = [
        Prompt(ask(tokenizer, [{"role": "user", "content": text}]), f"answer {text}") for text in texts
    ]
    log: list[str] = []
    results = write_predictions(predictor, prompts, tmp_path / "straight", log.append)
    straight = (tmp_path / "straight" / PREDICTIONS).read_bytes()
    lines = [json.loads(line) for line in straight.splitlines()]
    assert [line["label"] for line in lines] == [prompt.reference for prompt in prompts]
    assert results["predict_samples"] == 5
    assert {"predict_bleu-4", "predict_rouge-1", "predict_rouge-2", "predict_rouge-l"} <= set(results)

    write_predictions(predictor, prompts, tmp_path / "cut", log.append)
    # As a kill leaves it: three whole lines, of which the third began a batch, and half of a fourth.
    cut = tmp_path / "cut" / PREDICTIONS
    cut.write_bytes(b"".join(straight.splitlines(keepends=True)[:3]) + b'{"prompt": "ha')
    write_predictions(predictor, prompts, tmp_path / "cut", log.append)
    assert cut.read_bytes() == straight
    assert any("2 of 5 answers were there already" in line for line in log)

    with pytest.raises(WrongRequestError, match="another model"):
        write_predictions(predictor._replace(made_of="that model"), prompts, tmp_path / "cut", log.append)
    assert cut.read_bytes() == straight


def test_questions_may_lack_their_answers(adapter: Path, tmp_path: Path) -> None:
    records = [
        {"instruction": "Add.", "input": "1 + 1", "output": "2"},
        {"instruction": "Add.", "input": "1 + 1"},
        {"instruction": "Add.", "input": "1 + 1", "output": ""},
    ]
    turns = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]
    for name, lines in (
        ("alpaca.jsonl", records),
        ("openai.jsonl", [{"messages": turns}, {"messages": turns[:1]}]),
    ):
        (tmp_path / name).write_text("".join(json.dumps(line) + "\n" for line in lines))
    request = request_for(adapter)
    _, tokenizer = load_trained(request)

    def read(name: str) -> list[Prompt]:
        values = {**request.values, "dataset": [str(tmp_path / name)]}
        return read_prompts(request._replace(values=values).config, tokenizer)

    alpaca = read("alpaca.jsonl")
    assert [prompt.reference for prompt in alpaca] == ["2", None, None]
    assert alpaca[0].input_ids == alpaca[1].input_ids == alpaca[2].input_ids
    assert tokenizer.decode(alpaca[0].input_ids).endswith("1 + 1<|im_end|>\n<|im_start|>assistant\n")
    answered, asked = read("openai.jsonl")
    assert answered == Prompt(ask(tokenizer, turns[:1]), "Hello")
    assert asked == answered._replace(reference=None)


@pytest.mark.parametrize("stage", ["dpo", "kto", "rm", "pt", "ppo"])
def test_a_model_that_learned_otherwise_is_asked_plain_questions(
    adapter: Path, stage: str, tmp_path: Path
) -> None:
    (tmp_path / "plain.jsonl").write_text('{"instruction": "1 + 1", "output": "2"}\n')
    request = request_for(adapter)
    _, tokenizer = load_trained(request)
    values = {**request.values, "dataset": [str(tmp_path / "plain.jsonl")]}
    expected = read_prompts(request._replace(values=values).config, tokenizer)
    assert [prompt.reference for prompt in expected] == ["2"]
    assert read_prompts(request._replace(values={**values, "stage": stage}).config, tokenizer) == expected


def test_scores_are_those_of_the_definition() -> None:
    scores = text_scores(["the cat sat"], ["the cat ran"])
    assert scores["predict_rouge-1"] == pytest.approx(100 * 2 / 3)
    assert scores["predict_rouge-2"] == pytest.approx(100 / 2)
    assert scores["predict_rouge-l"] == pytest.approx(100 * 2 / 3)
    same = text_scores(["four words are here", "the same again, twice"], ["four words are here"] * 2)
    assert same["predict_rouge-1"] < 100
    assert (
        list(text_scores(["four words are here"] * 2, ["four words are here"] * 2).values())
        == [pytest.approx(100.0)] * 5
    )
    # Signs of a script without spaces are tokens; 2 of 4 signs, 1 of 3 pairs.
    chinese = text_scores(["\u6211\u7231\u732b\u54aa"], ["\u6211\u7231\u72d7\u72d7"])
    assert chinese["predict_rouge-1"] == pytest.approx(50.0)
    assert chinese["predict_rouge-2"] == pytest.approx(100 / 3)
    assert chinese["predict_bleu-4"] > 0


@pytest.mark.parametrize("dtype", ["auto", "bfloat16"])
def test_an_exported_model_says_what_the_adapter_said(adapter: Path, dtype: str, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    request = request_for(adapter, infer_dtype=dtype)
    report = export_model(request, tmp_path / "out")
    trained, tokenizer = load_trained(request, dtype="float32")
    ids = ask(tokenizer, [{"role": "user", "content": "What is 2 and 2?"}])
    exported: Any = AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    expected = logits_of(trained, ids)
    assert exported.dtype == (torch.float32 if dtype == "auto" else torch.bfloat16)
    most = 1e-4 if dtype == "auto" else 0.1
    assert (logits_of(exported, ids).float() - expected).abs().max() <= most * expected.abs().max()
    with trained.disable_adapter():
        assert (logits_of(trained, ids) - expected).abs().max() > 0.2 * expected.abs().max()
    assert AutoTokenizer.from_pretrained(tmp_path / "out").chat_template == tokenizer.chat_template
    assert report["largest_difference"] <= most * report["largest_logit"]
    assert json.loads((tmp_path / "out" / "export_report.json").read_text()) == report
    assert [path.name for path in tmp_path.iterdir()] == ["out"], "nothing half-made stays behind"


def test_an_export_that_differs_from_what_was_trained_is_not_written(
    adapter: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = exporting._write

    def spoil(model: Any, *others: Any) -> None:
        model.lm_head.weight.data += 0.05
        write(model, *others)

    monkeypatch.setattr(exporting, "_write", spoil)
    with pytest.raises(ModelError, match="not the one that was trained"):
        export_model(request_for(adapter), tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_a_qlora_adapter_is_merged_into_weights_that_were_never_packed(adapter: Path, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    packed = request_for(adapter, quantization_bit=4, quantization_method="bnb")
    export_model(packed, tmp_path / "packed")
    export_model(request_for(adapter), tmp_path / "plain")
    one: Any = AutoModelForCausalLM.from_pretrained(tmp_path / "packed")
    other: Any = AutoModelForCausalLM.from_pretrained(tmp_path / "plain")
    assert getattr(one.config, "quantization_config", None) is None
    for (name, weight), expected in zip(one.named_parameters(), other.parameters(), strict=True):
        assert torch.equal(weight, expected), name


def test_comparing_shows_both_answers(adapter: Path, tmp_path: Path) -> None:
    (tmp_path / "questions.txt").write_text("Hi\n\nWhy is the sky blue?\n")
    request = request_for(adapter, options={"prompts": str(tmp_path / "questions.txt")})
    answers = compared(request)
    assert [answer.prompt for answer in answers] == ["Hi", "Why is the sky blue?"]
    assert all(answer.base != answer.tuned for answer in answers)
    assert answers == compared(request), "without chance, so the same again"
    table = side_by_side(Answers("Q", "a b\x1b]0;title\x07", "one two three four five six"), 43)
    assert "\x1b" not in table
    assert max(len(line) for line in table.splitlines()) <= 43


def test_a_model_that_was_trained_in_full_is_compared_with_its_base_and_exported_as_it_is(
    tokenizer: Any, tmp_path: Path
) -> None:
    from transformers import AutoModelForCausalLM

    base, _ = load_trained(request_for(None))
    torch.manual_seed(2)
    for weight in base.parameters():
        weight.data += 0.05 * torch.randn_like(weight)
    base.save_pretrained(tmp_path / "result")
    tokenizer.save_pretrained(tmp_path / "result")
    (tmp_path / "questions.jsonl").write_text(
        '{"prompt": "Hi"}\n{"prompt": "Why?", "completion": "Because."}\n'
    )
    request = request_for(None, options={"prompts": str(tmp_path / "questions.jsonl")})
    trained = request._replace(weights=str(tmp_path / "result"))
    for answer in compared(trained):
        assert answer.base != answer.tuned
    export_model(trained, tmp_path / "out")
    exported: Any = AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    for weight, expected in zip(exported.parameters(), base.parameters(), strict=True):
        assert torch.equal(weight, expected)


def test_a_conversation_remembers_and_the_adapter_can_be_switched_off(adapter: Path, tmp_path: Path) -> None:
    request = request_for(adapter)
    model, tokenizer = load_trained(request)
    settings = generation_config(request.config, model, tokenizer, greedy=True)
    conversation = Conversation(model, tokenizer, settings, "Be short.")
    first = "".join(conversation.answer("Hi", lambda: False))
    conversation.adapter_is_on = False
    conversation.turns.clear()
    assert "".join(conversation.answer("Hi", lambda: False)) != first
    "".join(conversation.answer("And now?", lambda: False))
    conversation.save(tmp_path / "saved.jsonl")
    (record,) = map(json.loads, (tmp_path / "saved.jsonl").read_text().splitlines())
    roles = [message["role"] for message in record["messages"]]
    assert roles == ["system", "user", "assistant", "user", "assistant"]
    with pytest.raises(DataError, match="the model takes 512"):
        "".join(conversation.answer("word " * 600, lambda: False))
    assert len(conversation.turns) == 4, "what was not answered is not remembered"
    stopped = "".join(conversation.answer("Go on", lambda: True))
    assert len(tokenizer(stopped)["input_ids"]) <= 1, "an answer that is stopped ends after its next token"
