"""GPUs of different generations in one training compute in one precision, or are refused with what to write."""

from typing import Any

import pytest

from fttui_engine.spec.config import TrainingConfig
from fttui_engine.train.errors import RanksError
from fttui_engine.train.ranks.precision import RankCard, common_precision

AMPERE = RankCard("h1", "NVIDIA A10", (8, 6))
TURING = RankCard("h2", "Tesla T4", (7, 5))
PASCAL = RankCard("h3", "GTX 1080 Ti", (6, 1))


def config(**values: Any) -> TrainingConfig:
    return TrainingConfig(model_name_or_path="demo:tiny", dataset=("demo:instructions",), **values)


def test_bf16_stays_where_every_card_has_it() -> None:
    said: list[str] = []
    assert common_precision(config(bf16=True), [AMPERE, AMPERE], said.append).bf16
    assert common_precision(config(fp16=True), [AMPERE, TURING], said.append).fp16
    assert common_precision(config(), [AMPERE, PASCAL], said.append) == config()
    assert said == []


def test_one_card_without_bf16_brings_all_to_fp16() -> None:
    said: list[str] = []
    chosen = common_precision(config(bf16=True), [AMPERE, TURING], said.append)
    assert (chosen.bf16, chosen.fp16) == (False, True)
    assert said == [
        "warning: Tesla T4 of h2 has no bfloat16, so that all ranks train in fp16 (fp16: true says so for good)"
    ]


@pytest.mark.parametrize(
    ("wanted", "cards"), [({"bf16": True}, [AMPERE, PASCAL]), ({"pure_bf16": True}, [AMPERE, TURING])]
)
def test_what_no_precision_helps_is_refused(wanted: dict[str, bool], cards: list[RankCard]) -> None:
    with pytest.raises(RanksError, match=f"{cards[1].name} of {cards[1].host} has no bfloat16") as caught:
        common_precision(config(**wanted), cards, print)
    assert "leave that host out" in caught.value.hint
