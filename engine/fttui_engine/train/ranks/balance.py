"""How many rows of a batch each rank takes, so that none waits long for the others."""

from collections.abc import Sequence
from typing import NamedTuple


class RankSpeed(NamedTuple):
    """What one rank was measured to do."""

    rows_per_second: float
    most_rows: int
    """The largest batch that was tried and fits into its memory."""
    host: str = ""


class Sharing(NamedTuple):
    """The rows of each rank, and what they are predicted to bring."""

    rows: tuple[int, ...]
    batch_seconds: float
    """Of the slowest rank, for its rows."""
    equal_seconds: float
    """The same if all took equally many; infinite where that does not fit into the memory of one."""

    @property
    def gain(self) -> float:
        """How much faster than equal batches, 0.31 for 31 %; 0 where equal ones are as good."""
        return self.equal_seconds / self.batch_seconds - 1

    @property
    def shown(self) -> str:
        """The rows as people write them: 4+2."""
        return "+".join(map(str, self.rows))


def share_rows(total: int, speeds: Sequence[RankSpeed]) -> Sharing | None:
    """Return how ``total`` rows are done soonest, each rank taking at least one; ``None`` where they do not fit.

    Row by row to whichever rank would be done with it first: for times that grow with the rows no other sharing is
    faster.
    """
    rows = [1] * len(speeds)
    if total < len(speeds) or any(speed.most_rows < 1 for speed in speeds):
        return None
    for _ in range(total - len(speeds)):
        open_ranks = [rank for rank, speed in enumerate(speeds) if rows[rank] < speed.most_rows]
        if not open_ranks:
            return None
        first = min(open_ranks, key=lambda rank: (rows[rank] + 1) / speeds[rank].rows_per_second)
        rows[first] += 1
    seconds = _slowest(rows, speeds)
    return Sharing(tuple(rows), seconds, _equal_seconds(total, speeds))


def _slowest(rows: Sequence[int], speeds: Sequence[RankSpeed]) -> float:
    return max(count / speed.rows_per_second for count, speed in zip(rows, speeds, strict=True))


def _equal_seconds(total: int, speeds: Sequence[RankSpeed]) -> float:
    most = -(-total // len(speeds))
    if any(speed.most_rows < most for speed in speeds):
        return float("inf")
    return _slowest([most] * len(speeds), speeds)


def fewer_hosts(
    sharing: Sharing, speeds: Sequence[RankSpeed], *, batches_per_step: int, exchange_seconds: float
) -> tuple[str, float] | None:
    """Return the one host that alone would take less time for a step than all together, and how much less of it.

    ``exchange_seconds`` is what sending the gradients takes once per step, which a host with one rank is spared. ``None``
    where all together are faster, as they ought to be.
    """
    together = sharing.batch_seconds * batches_per_step + exchange_seconds
    hosts = {speed.host for speed in speeds}
    if len(hosts) < 2:
        return None
    total = sum(sharing.rows)
    alone = {
        # It sums up more and smaller batches, so that its memory need not hold all rows at once.
        host: batches_per_step * total / sum(speed.rows_per_second for speed in speeds if speed.host == host)
        for host in hosts
    }
    best = min(alone, key=lambda host: alone[host])
    return (best, alone[best] / together) if alone[best] < together else None
