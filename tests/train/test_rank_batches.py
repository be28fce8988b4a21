"""Ranks that take batches of different sizes learn what one process learns, and go on exactly after a stop."""

import pytest

from fttui_engine.runs.checkpoints import read_manifest
from fttui_engine.train.ranks.balance import RankSpeed, fewer_hosts, share_rows
from fttui_engine.train.ranks.rank_rows import RankRows
from ranked_runs import assert_divided, assert_same_training
from several_runs import numbers, weights


@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
def test_unequal_and_measured_batches_train_what_one_process_does(ranked, without_dropout, strategy):
    kind = {"finetuning_type": "full", "learning_rate": 5e-4} if strategy == "fsdp" else {}
    uneven = {"processes": 2, "strategy": strategy, "rank_batches": [3, 1]}
    values = {"model_name_or_path": without_dropout, "run": uneven} | kind
    alone, together = ranked("alone", **values), ranked("together", **values)
    assert alone.finish(ranks=1).result == "finished"

    first = together.start()
    together.reach(6)
    first.request_stop()
    assert together.ended(first).result == "stopped"
    newest = together.checkpoints()[-1].path
    assert read_manifest(newest).extra["rank_rows"] == [3, 1]
    assert together.finish(newest).result == "finished"
    assert "8 per step (3+1 of 2 processes x 2)" in together.run.attempt(2).log_path.read_text()
    assert_same_training(together, alone, tolerance=1e-5)
    if strategy == "fsdp":
        assert_divided(together)
        return

    measured = ranked("measured", **(values | {"run": uneven | {"rank_batches": "auto"}}))
    assert measured.finish().result == "finished"
    # The look at the speeds left no trace in what was learned.
    assert_same_training(measured, alone, tolerance=1e-5)
    log = measured.run.attempt(1).log_path.read_text()
    assert "ranks: examples measured: rank 0 on " in log
    assert " by what was measured" in log
    rows = read_manifest(measured.checkpoints()[-1].path).extra["rank_rows"]
    assert rows is None or (sum(rows) == 4 and min(rows) >= 1)


def test_unequal_batches_go_on_bit_by_bit_after_a_stop(ranked):
    values = {"lora_dropout": 0.1, "run": {"processes": 2, "rank_batches": [1, 3]}}
    straight, broken = ranked("straight", **values), ranked("broken", **values)
    assert straight.finish().result == "finished"
    first = broken.start()
    broken.reach(6)
    first.request_stop()
    assert broken.ended(first).result == "stopped"
    assert broken.finish(broken.checkpoints()[-1].path).result == "finished"
    assert numbers(broken) == numbers(straight)
    assert weights(broken) == weights(straight)


@pytest.mark.parametrize("examples", [1, 5, 12, 39])
def test_the_rows_of_all_ranks_are_those_of_one_process(examples):
    rows = (5, 3, 1)
    order = [(7 * place) % examples for place in range(examples)]
    batches = list(zip(*(RankRows(order, rows, rank) for rank in range(3)), strict=True))
    assert len(batches) == len(RankRows(order, rows, 0)) == -(-examples // 9)
    together = [index for batch in batches for part in batch for index in part]
    assert together[:examples] == order
    # What fills up the last batch is made of examples, in the order of the epoch.
    assert together[examples:] == [order[place % examples] for place in range(len(together) - examples)]


def test_rows_go_where_they_are_done_soonest():
    fast, slow = RankSpeed(4.2, 12, "h1"), RankSpeed(2.0, 12, "h2")
    sharing = share_rows(6, [fast, slow])
    assert sharing.rows == (4, 2)
    # 3+3 takes the slow one 1.5 s, 4+2 takes 1 s.
    assert sharing.gain == pytest.approx(0.5)
    assert share_rows(6, [fast._replace(most_rows=3), slow]).rows == (3, 3)
    # Where equal ones do not fit there is nothing to compare with.
    assert share_rows(6, [fast, slow._replace(most_rows=2)]).gain == float("inf")
    assert share_rows(6, [fast._replace(most_rows=2), slow._replace(most_rows=3)]) is None
    assert share_rows(1, [fast, slow]) is None


def test_a_host_that_would_be_faster_alone_is_named():
    speeds = [RankSpeed(4.0, 12, "h1"), RankSpeed(2.0, 12, "h2")]
    sharing = share_rows(6, speeds)
    assert fewer_hosts(sharing, speeds, batches_per_step=2, exchange_seconds=0.1) is None
    # Together 2 x 1 s and 2 s for the gradients; h1 alone 2 x 1.5 s.
    assert fewer_hosts(sharing, speeds, batches_per_step=2, exchange_seconds=2.0) == (
        "h1",
        pytest.approx(0.75),
    )
    one_host = [speed._replace(host="h1") for speed in speeds]
    assert fewer_hosts(sharing, one_host, batches_per_step=2, exchange_seconds=2.0) is None
