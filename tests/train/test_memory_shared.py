"""The tensors that one of four processes holds when they divide a model (FSDP2), against the prediction.

The other processes are torch's fake process group: nothing is sent, but all that is allocated is allocated.
"""

import weakref
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import distributed
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor
from torch.testing._internal.distributed.fake_pg import FakeStore
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from transformers import AutoConfig

from fttui_engine.spec.keys import KEYS
from fttui_engine.spec.memory.peak import predict
from fttui_engine.spec.memory.shape_reading import read_shape
from fttui_engine.spec.memory.workload import read_workload
from fttui_engine.train.ranks.sharding import division_precision
from test_memory_measured import NOT_TENSORS, SIZES, VOCABULARY, made

PROCESSES = 4
LENGTH = 512


class LocalBytes(TorchDispatchMode):
    """The most bytes that the tensors of this process ever took; looks at sizes anew, since FSDP empties storages."""

    def __init__(self, weights: list[torch.Tensor]) -> None:
        super().__init__()
        self.peak = 0
        self._storages: dict[int, Any] = {}
        for weight in weights:
            self._add(weight)

    def _add(self, tensor: torch.Tensor) -> None:
        storage = (tensor.to_local() if isinstance(tensor, DTensor) else tensor).untyped_storage()
        self._storages[storage._cdata] = weakref.ref(storage)

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = function(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, torch.Tensor):
                self._add(leaf)
        alive = [(key, found) for key, storage in self._storages.items() if (found := storage()) is not None]
        self._storages = {key: self._storages[key] for key, _ in alive}
        self.peak = max(self.peak, sum(storage.nbytes() for _, storage in alive))
        return result


@pytest.fixture
def mesh() -> Iterator[Any]:
    distributed.init_process_group("fake", rank=0, world_size=PROCESSES, store=FakeStore())
    yield init_device_mesh("cpu", (PROCESSES,))
    distributed.destroy_process_group()


@pytest.mark.parametrize(
    "values",
    [{"finetuning_type": "full"}, {"finetuning_type": "full", "bf16": True}, {"bf16": True}],
    ids=lambda values: str(values).replace(" ", ""),
)
def test_the_part_of_one_process_is_predicted_within_5_percent(mesh: Any, values: dict[str, Any]) -> None:
    defaults = {name: key.default for name, key in KEYS.items()}
    fixed = {"per_device_train_batch_size": 1, "cutoff_len": LENGTH, "optim": "adamw_torch_fused"}
    settings = defaults | fixed | {"run": {"strategy": "fsdp"}} | values
    config = AutoConfig.for_model("llama", **SIZES)
    shape = read_shape(config.to_dict())
    work = read_workload(settings, shape, on_cpu=True, processes=PROCESSES)
    prediction = predict(shape, work)
    predicted = sum(size for name, size in prediction.terms.items() if name not in NOT_TENSORS)
    measured = measured_peak(config, settings, mesh)
    assert predicted == pytest.approx(measured, rel=0.05)
    alone = predict(shape, read_workload(settings, shape, on_cpu=True, processes=1)).predicted_bytes
    assert prediction.predicted_bytes < alone


def test_the_model_to_compare_with_is_divided_too() -> None:
    """It is, where it is a copy of its own; predicted whole, it would keep a model from being tried that fits."""
    defaults = {name: key.default for name, key in KEYS.items()}
    settings = defaults | {"stage": "dpo", "finetuning_type": "full", "run": {"strategy": "fsdp"}}
    shape = read_shape(AutoConfig.for_model("llama", **SIZES).to_dict())
    whole, part = (
        predict(shape, read_workload(settings, shape, on_cpu=True, processes=count)).terms["reference"]
        for count in (1, PROCESSES)
    )
    assert part == pytest.approx(whole / PROCESSES, rel=0.01)


def measured_peak(config: Any, settings: dict[str, Any], mesh: Any) -> int:
    """Train two steps of a model that is divided as accelerate does it: layer by layer, the rest as one."""
    model = made(config, settings)
    half = torch.bfloat16 if settings["bf16"] else None
    policy = division_precision(half)
    layers = (model.get_base_model() if hasattr(model, "get_base_model") else model).model.layers
    for part in (*layers, model):
        fully_shard(part, mesh=mesh, mp_policy=policy)
    optimizer = torch.optim.AdamW(
        [weight for weight in model.parameters() if weight.requires_grad], foreach=False
    )
    ids = torch.randint(1, VOCABULARY, (1, LENGTH))
    with LocalBytes(list(model.parameters())) as live:
        for _ in range(2):
            with torch.autocast("cpu", torch.bfloat16, enabled=settings["bf16"]):
                loss = model(input_ids=ids, attention_mask=torch.ones_like(ids), labels=ids).loss
            loss.backward()
            del loss
            optimizer.step()
            optimizer.zero_grad()
    return live.peak
