"""Adapters: variants, those from earlier trainings, and what is written of them."""

import json

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoConfig, AutoModelForCausalLM

from fttui_engine.spec.config import TrainingConfig
from fttui_engine.train.errors import ModelError
from fttui_engine.train.models import pissa
from fttui_engine.train.models.adapters import add_adapter, save_adapter
from fttui_engine.train.models.kernels import Kernels
from fttui_engine.train.models.load import find_model, load_model, load_tokenizer
from fttui_engine.train.models.trainable import load_trainable_model
from fttui_engine.train.models.vocabulary import add_tokens

IDS = torch.arange(40, 72).view(1, -1)


def config(tiny_model, **values):
    return TrainingConfig(model_name_or_path=str(tiny_model), dataset=("x",), use_cpu=True, **values)


def base(settings):
    return load_model(settings, find_model(settings))


def adapted(tiny_model, log=lambda line: None, **values):
    settings = config(tiny_model, **values)
    torch.manual_seed(0)
    return add_adapter(base(settings), settings, log)


def logits(model):
    with torch.no_grad():
        return model.eval()(input_ids=IDS).logits


def train_a_little(model, steps=3):
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=0.01)
    for _ in range(steps):
        model.eval()(input_ids=IDS, labels=IDS).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    return model


def plain(tiny_model):
    return AutoModelForCausalLM.from_pretrained(tiny_model)


def other_adapter(tiny_model, folder, seed):
    torch.manual_seed(seed)
    model = get_peft_model(
        plain(tiny_model), LoraConfig(task_type="CAUSAL_LM", r=4, target_modules=["q_proj", "v_proj"])
    )
    for name, weight in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.3)
    model.save_pretrained(folder)
    return str(folder)


def test_dora_trains_the_length_of_each_column_too(tiny_model):
    model = adapted(tiny_model, use_dora=True)
    lengths = [
        name for name, weight in model.named_parameters() if "magnitude" in name and weight.requires_grad
    ]
    assert len(lengths) == 14
    # It begins as the model itself.
    torch.testing.assert_close(logits(model), logits(plain(tiny_model)), rtol=0, atol=1e-4)


def test_oft_rotates_the_weights(tiny_model, tmp_path):
    model = adapted(tiny_model, finetuning_type="oft", oft_block_size=16)
    torch.testing.assert_close(logits(model), logits(plain(tiny_model)), rtol=0, atol=1e-4)
    before = logits(model)
    train_a_little(model)
    assert not torch.allclose(logits(model), before)
    save_adapter(model, str(tmp_path), None)
    again = PeftModel.from_pretrained(plain(tiny_model), tmp_path)
    torch.testing.assert_close(logits(again), logits(model), rtol=0, atol=1e-5)


@pytest.mark.parametrize("values", [{"pissa_iter": -1}, {"pissa_iter": 4}, {"use_rslora": True}])
def test_pissa_begins_as_the_model_with_its_strongest_directions_in_the_adapter(tiny_model, tmp_path, values):
    model = adapted(tiny_model, pissa_init=True, **values)
    expected = logits(plain(tiny_model))
    torch.testing.assert_close(logits(model), expected, rtol=0, atol=1e-4)
    assert all(weight.any() for name, weight in model.named_parameters() if "lora_B" in name)

    # What is written is an ordinary adapter: anybody loads it on the unchanged model and gets what was trained.
    train_a_little(model)
    save_adapter(model, str(tmp_path), None)
    written = json.loads((tmp_path / "adapter_config.json").read_text())
    assert (written["r"], written["init_lora_weights"]) == (16, True)
    again = PeftModel.from_pretrained(plain(tiny_model), tmp_path)
    torch.testing.assert_close(logits(again), logits(model), rtol=0, atol=1e-4)
    assert not torch.allclose(logits(model), expected, atol=1e-2)


def test_pissa_goes_on_from_what_was_written_whatever_its_decomposition_would_be_now(tiny_model, tmp_path):
    trained = train_a_little(adapted(tiny_model, pissa_init=True))
    save_adapter(trained, str(tmp_path), None)
    expected = {name: weight.clone() for name, weight in trained.named_parameters()}

    same = adapted(tiny_model, pissa_init=True)
    pissa.load(same, str(tmp_path))
    assert all(torch.equal(weight, expected[name]) for name, weight in same.named_parameters())

    other = adapted(tiny_model, pissa_init=True, pissa_iter=0)
    pissa.load(other, str(tmp_path))
    for name, weight in other.named_parameters():
        if weight.requires_grad:
            assert torch.equal(weight, expected[name])
        else:
            torch.testing.assert_close(weight, expected[name], rtol=0, atol=1e-6)


def test_an_adapter_is_trained_further(tiny_model, tmp_path):
    folder = other_adapter(tiny_model, tmp_path / "a", 1)
    lines = []
    model = adapted(tiny_model, lines.append, adapter_name_or_path=(folder,), lora_rank=32)
    assert model.peft_config["default"].r == 4
    torch.testing.assert_close(logits(model), logits(PeftModel.from_pretrained(plain(tiny_model), folder)))
    trained = {name for name, weight in model.named_parameters() if weight.requires_grad}
    assert trained == {name for name, _ in model.named_parameters() if "lora_" in name} != set()
    assert "goes on from" in lines[-1]


@pytest.mark.parametrize("create_new", [False, True])
def test_adapters_before_the_last_are_merged_and_all_of_them_under_a_new_one(
    tiny_model, tmp_path, create_new
):
    folders = tuple(other_adapter(tiny_model, tmp_path / name, seed) for seed, name in enumerate("ab"))
    model = adapted(tiny_model, adapter_name_or_path=folders, create_new_adapter=create_new)
    expected = plain(tiny_model)
    for folder in folders:
        expected = PeftModel.from_pretrained(expected, folder).merge_and_unload()
    torch.testing.assert_close(logits(model), logits(expected), rtol=0, atol=1e-4)
    assert model.peft_config["default"].r == (8 if create_new else 4)


def test_an_adapter_of_another_model_ends_in_a_sentence(tiny_model, tmp_path):
    folder = other_adapter(tiny_model, tmp_path / "a", 1)
    changed = json.loads((tmp_path / "a" / "adapter_config.json").read_text()) | {"target_modules": ["wte"]}
    (tmp_path / "a" / "adapter_config.json").write_text(json.dumps(changed))
    with pytest.raises(ModelError, match="cannot be put on this model") as error:
        adapted(tiny_model, adapter_name_or_path=(folder,))
    assert error.value.hint


def test_new_tokens_are_read_and_learned(tiny_model, tmp_path):
    settings, lines = config(tiny_model, add_special_tokens=("<think>", "</think>")), []
    source = find_model(settings)
    tokenizer = load_tokenizer(source, lines.append)
    before = len(tokenizer)
    add_tokens(tokenizer, settings, lines.append)
    ids = tokenizer("<think>")["input_ids"]
    assert ids == [before]
    model = load_trainable_model(settings, source, tokenizer, kernels=Kernels(), log=lines.append)
    matrix = model.get_input_embeddings().weight
    assert len(matrix) >= before + 2
    # Near the mean of all others, and trained beside the adapter.
    old, new = matrix[:before].detach(), matrix[before : before + 2].detach()
    assert (new - old.mean(0)).norm(dim=1).mean() < 3 * (old - old.mean(0)).norm(dim=1).mean()
    assert matrix.requires_grad
    again = load_trainable_model(settings, source, tokenizer, kernels=Kernels(), log=lines.append)
    assert all(map(torch.equal, model.state_dict().values(), again.state_dict().values()))
    # Who uses the adapter later need not know that the vocabulary has grown.
    save_adapter(train_a_little(model), str(tmp_path), None)
    later = adapted(tiny_model, adapter_name_or_path=(str(tmp_path),))
    torch.testing.assert_close(logits(later), logits(model))


def test_new_marks_begin_as_the_words_that_describe_them(tiny_model, tmp_path):
    path = tmp_path / "marks.yaml"
    path.write_text("'<plan>': 'the steps to take'\n'</plan>': ''\n")
    lines = []
    settings = config(
        tiny_model,
        new_special_tokens_config=str(path),
        init_special_tokens="desc_init",
        finetuning_type="full",
    )
    source = find_model(settings)
    tokenizer = load_tokenizer(source, lines.append)
    add_tokens(tokenizer, settings, lines.append)
    model = load_trainable_model(settings, source, tokenizer, kernels=Kernels(), log=lines.append)
    (mark,) = tokenizer.encode("<plan>", add_special_tokens=False)
    words = tokenizer.encode("the steps to take", add_special_tokens=False)
    assert tokenizer.decode([mark, words[0]], skip_special_tokens=True) == tokenizer.decode(words[:1])
    for end in (model.get_input_embeddings(), model.get_output_embeddings()):
        torch.testing.assert_close(end.weight[mark], end.weight[words].mean(0))
    assert "warning: nothing describes </plan>, so it begins near the mean of all words" in lines
    with pytest.raises(ModelError, match="is a token of the model already"):
        add_tokens(tokenizer, settings, lines.append)


def test_experts_are_balanced_by_a_loss_of_the_weight_that_was_asked_for(tiny_model, tmp_path):
    sizes = {"num_hidden_layers": 1, "hidden_size": 32, "intermediate_size": 32, "num_attention_heads": 2}
    mixture = AutoConfig.for_model("mixtral", vocab_size=100, num_key_value_heads=2, **sizes)
    AutoModelForCausalLM.from_config(mixture).save_pretrained(tmp_path)
    without, with_loss = (base(config(tmp_path, moe_aux_loss_coef=weight)) for weight in (0.0, 0.5))
    ids = torch.arange(20).view(1, -1)
    outputs = [model.eval()(input_ids=ids, labels=ids) for model in (without, with_loss)]
    expected = outputs[0].loss + 0.5 * outputs[1].aux_loss
    assert outputs[1].loss.item() == pytest.approx(expected.item())
    with pytest.raises(ModelError, match="has no experts"):
        base(config(tiny_model, moe_aux_loss_coef=0.1))


def test_random_weights_come_from_the_seed_alone(tiny_model):
    first, second, other = (
        base(config(tiny_model, train_from_scratch=True, finetuning_type="full", seed=seed))
        for seed in (1, 1, 2)
    )
    weight = "model.layers.0.self_attn.q_proj.weight"
    assert torch.equal(first.get_parameter(weight), second.get_parameter(weight))
    assert not torch.equal(first.get_parameter(weight), other.get_parameter(weight))
    assert not torch.equal(first.get_parameter(weight), plain(tiny_model).get_parameter(weight))


@pytest.mark.parametrize("kind", ["linear", "dynamic", "yarn", "llama3"])
def test_stretched_positions_reach_beyond_what_the_model_was_made_for(tiny_model, kind):
    limit = plain(tiny_model).config.max_position_embeddings
    model = base(config(tiny_model, rope_scaling=kind, cutoff_len=2 * limit - 5))
    assert model.config.max_position_embeddings == 2 * limit
    assert (model.config.rope_parameters["rope_type"], model.config.rope_parameters["factor"]) == (kind, 2.0)
    assert torch.isfinite(model(input_ids=torch.ones((1, limit + 8), dtype=torch.int64)).logits).all()
    # Not needed, not done.
    unchanged = base(config(tiny_model, rope_scaling=kind, cutoff_len=limit))
    assert unchanged.config.rope_parameters == plain(tiny_model).config.rope_parameters


def test_norms_in_float32_between_layers_in_bfloat16(tiny_model):
    model = base(config(tiny_model, bf16=True, upcast_layernorm=True))
    dtypes = {"norm" in name: weight.dtype for name, weight in model.named_parameters()}
    assert dtypes == {True: torch.float32, False: torch.bfloat16}
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.isfinite(model(input_ids=IDS).logits).all()
