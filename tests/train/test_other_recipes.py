"""Other losses, orders and optimizers than the usual ones: what LLaMA-Factory computes, computed another way."""

import copy
import math
from types import SimpleNamespace

import pytest
import torch

from fttui_engine.spec.config import TrainingConfig
from fttui_engine.train.loop.length_groups import LengthGroups
from fttui_engine.train.loop.muon import muon
from fttui_engine.train.loop.weighted_loss import weighted_loss

RATES = SimpleNamespace(
    learning_rate=0.01, weight_decay=0.1, adam_beta1=0.9, adam_beta2=0.999, adam_epsilon=1e-8
)


def loss_of(**values):
    return weighted_loss(TrainingConfig(model_name_or_path="demo:tiny", dataset=("x",), **values))


def batch():
    generator = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn(2, 6, 50, generator=generator)
    labels = torch.randint(0, 50, (2, 6), generator=generator)
    labels[0, :3] = labels[1, 4:] = -100
    return logits, labels


def expected(logits, labels, weight):
    """Token by token, in plain Python."""
    total, count = 0.0, 0
    for row, targets in zip(logits.tolist(), labels.tolist(), strict=True):
        for scores, target in zip(row[:-1], targets[1:], strict=True):
            if target != -100:
                log_sum = math.log(math.fsum(map(math.exp, scores)))
                total += weight(scores, scores[target] - log_sum) * (log_sum - scores[target])
                count += 1
    return total, count


def entropy_of_20(scores, _):
    best = sorted(scores)[-20:]
    log_sum = math.log(math.fsum(map(math.exp, best)))
    return -math.fsum(math.exp(s - log_sum) * (s - log_sum) for s in best) / 3


@pytest.mark.parametrize(
    ("values", "weight"),
    [
        ({"use_dft_loss": True}, lambda _, log_probability: math.exp(log_probability)),
        ({"use_eaft_loss": True}, entropy_of_20),
        ({"use_eaft_loss": True, "eaft_alpha": 2.0}, lambda *each: entropy_of_20(*each) ** 2),
    ],
    ids=["dft", "eaft", "eaft-alpha"],
)
def test_a_weighted_loss_is_that_of_llamafactory(values, weight):
    logits, labels = batch()
    logits.requires_grad_()
    loss = loss_of(**values)(SimpleNamespace(logits=logits), labels, num_items_in_batch=torch.tensor(11))
    total, count = expected(logits.detach(), labels, weight)
    assert count == 6
    assert loss.item() == pytest.approx(total / 11, rel=1e-5)
    # The weights themselves are not learned: the gradient of a row of logits sums up to nothing.
    loss.backward()
    assert logits.grad[0, 0].abs().sum() == 0
    assert logits.grad[0, 3].abs().sum() > 0
    assert logits.grad.sum(-1).abs().max() < 1e-6


def test_an_evaluation_measures_the_plain_loss_and_a_batch_without_answers_has_a_gradient():
    logits, labels = batch()
    plain, count = expected(logits, labels, lambda *_: 1.0)
    loss = loss_of(use_dft_loss=True)
    assert loss(SimpleNamespace(logits=logits), labels).item() == pytest.approx(plain / count, rel=1e-5)
    logits.requires_grad_()
    nothing = loss(SimpleNamespace(logits=logits), torch.full_like(labels, -100), num_items_in_batch=11)
    nothing.backward()
    assert nothing.item() == 0
    assert loss_of() is None


def test_groups_of_lengths_depend_on_seed_and_epoch_alone():
    lengths = [(7 * number) % 41 for number in range(800)]
    groups = LengthGroups(lengths, 8, seed=3)
    first = list(groups)
    groups.epoch = 1
    second = list(groups)
    assert sorted(first) == sorted(second) == list(range(800))
    assert first != second
    torch.rand(5)
    again = LengthGroups(lengths, 8, seed=3)
    assert list(again) == first

    def padded(order):
        chunks = [order[start : start + 8] for start in range(0, 800, 8)]
        return sum(8 * max(lengths[index] for index in chunk) for chunk in chunks)

    shuffled = torch.randperm(800, generator=torch.Generator().manual_seed(0)).tolist()
    assert padded(first) < 1.2 * sum(lengths) < 1.5 * sum(lengths) < padded(shuffled)


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.embed_tokens = torch.nn.Embedding(12, 8)
        self.up = torch.nn.Linear(8, 16)
        self.norm = torch.nn.LayerNorm(16)
        self.lm_head = torch.nn.Linear(16, 12, bias=False)

    def forward(self, ids):
        return self.lm_head(self.norm(self.up(self.embed_tokens(ids))))


def steps(net, optimizer, count):
    ids = torch.arange(12)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, 2)
    for _ in range(count):
        loss = torch.nn.functional.cross_entropy(net(ids), ids.roll(1))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return loss.item()


def test_muon_moves_matrices_by_orthogonal_steps_and_all_else_by_adamw():
    torch.manual_seed(0)
    net = Net()
    before = {name: weight.detach().clone() for name, weight in net.named_parameters()}
    twin = copy.deepcopy(net)
    steps(net, muon(net, RATES), 1)
    adamw = torch.optim.AdamW(twin.parameters(), lr=0.01, weight_decay=0.1)
    steps(twin, adamw, 1)
    for name, weight in net.named_parameters():
        is_matrix = name == "up.weight"
        assert torch.allclose(weight, dict(twin.named_parameters())[name], atol=1e-7) is not is_matrix, name
    step = net.up.weight - before["up.weight"] * (1 - 0.01 * 0.1)
    # LLaMA-Factory's step: 0.2 sqrt(largest side) times the rate, times singular values of 0.7 to 1.2.
    sizes = torch.linalg.svdvals(step) / (0.01 * 0.2 * math.sqrt(16))
    assert 0.5 < sizes.min() <= sizes.max() < 1.3


def test_muon_goes_on_from_its_saved_state_and_follows_the_schedule(tmp_path):
    torch.manual_seed(0)
    net = Net()
    optimizer = muon(net, RATES)
    steps(net, optimizer, 3)
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([0.001, 0.001])
    twin = copy.deepcopy(net)
    torch.save(optimizer.state_dict(), tmp_path / "optimizer.pt")
    resumed = muon(twin, RATES)
    resumed.load_state_dict(torch.load(tmp_path / "optimizer.pt", weights_only=True))
    assert [group["lr"] for group in resumed.param_groups] == pytest.approx([0.001, 0.001])
    assert steps(twin, resumed, 3) == steps(net, optimizer, 3)
    assert all(torch.equal(a, b) for a, b in zip(net.parameters(), twin.parameters(), strict=True))
