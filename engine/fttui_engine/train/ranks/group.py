"""What the processes of one attempt tell each other beside gradients: few and small things, over gloo."""

import os
import secrets
import socket
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from fttui_engine.train.errors import RanksError, StopRequestedError
from fttui_engine.train.ranks.environment import read_worker_place

if TYPE_CHECKING:
    import torch

T = TypeVar("T")

# Whoever started the ranks ends all when one dies, so that a wait may be as long as preparing the data takes.
_LONGEST_WAIT = timedelta(days=7)
# All launchers have met before any rank is started, so that only importing torch is left to wait for.
_MEETING_TIMEOUT = timedelta(minutes=15)


class Ranks:
    """This process among those that train together; alone it agrees with itself at no cost."""

    def __init__(
        self,
        rank: int = 0,
        count: int = 1,
        *,
        local_rank: int | None = None,
        nodes: tuple[str, ...] = (),
        node: int = 0,
        is_shared: bool = True,
        planned: int | None = None,
    ) -> None:
        self.rank = rank
        self.count = count
        self.local_rank = rank if local_rank is None else local_rank
        self.host = nodes[node] if node < len(nodes) else socket.gethostname()
        self.planned = planned
        self._shares_run = is_shared
        self.shares_output = is_shared
        """All ranks see the same output folder: one host, or a file system that all hosts have."""
        self.wanted_rows: tuple[int, ...] | str | None = None
        """``run.rank_batches``: so many rows for each rank, or ``auto``."""
        self.rows: tuple[int, ...] | None = None
        """The rows of each rank in a batch of all, where these are not equally many."""
        self._group: Any = None

    @classmethod
    def from_environment(cls) -> "Ranks":
        """Return the place that ``train.ranks`` gave this process; alone where it was started directly."""
        place = read_worker_place(os.environ)
        return cls(
            place.rank,
            place.world_size,
            local_rank=place.local_rank,
            nodes=place.nodes,
            node=place.node,
            is_shared=place.is_shared,
            planned=place.planned,
        )

    @property
    def is_main(self) -> bool:
        """Whether this is rank 0, which decides for all and speaks to the world."""
        return self.rank == 0

    @property
    def is_reporter(self) -> bool:
        """Whether this rank writes into the run's folder: rank 0, and the first of each host that has one of its own."""
        return self.is_main or (not self._shares_run and self.local_rank == 0)

    @property
    def is_writer(self) -> bool:
        """Whether this rank writes checkpoints: rank 0, and the first of each host that has an output folder of its own."""
        return self.is_main or (not self.shares_output and self.local_rank == 0)

    def join(self, *, use_cpu: bool, timeout_seconds: float) -> None:
        """Meet the other ranks; ``timeout_seconds`` is the longest that an exchange of gradients may take."""
        if self.count == 1:
            return
        import torch
        from torch import distributed

        if not use_cpu:
            torch.cuda.set_device(self.local_rank)
        try:
            distributed.init_process_group(
                "gloo" if use_cpu else "nccl",
                store=self._store(),
                rank=self.rank,
                world_size=self.count,
                timeout=timedelta(seconds=timeout_seconds),
            )
        except distributed.DistError as error:
            raise RanksError(
                f"rank {self.rank} of {self.count} on {self.host} did not meet the others: {str(error)[:300]}",
                "all ports between the hosts have to be open to each other, not only that of the first host",
            ) from error
        # Of its own: NCCL has no patience to wait for data, and a look at the stop flag would wait for the GPU.
        self._group = distributed.new_group(backend="gloo", timeout=_LONGEST_WAIT)

    def _store(self) -> Any:
        """Return where the ranks find each other: rank 0 listens, under torchrun its agent."""
        from torch import distributed

        by_torchrun = os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
        listener = os.environ.pop("FTTUI_RENDEZVOUS_FD", None)
        store = distributed.TCPStore(  # type: ignore[attr-defined]
            os.environ["MASTER_ADDR"],
            int(os.environ["MASTER_PORT"]),
            self.count,
            is_master=self.is_main and not by_torchrun,
            timeout=_MEETING_TIMEOUT,
            master_listen_fd=int(listener) if listener else None,
        )
        if not by_torchrun:
            return store
        # The agent's store outlives the ranks that it starts again.
        attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
        return distributed.PrefixStore(f"fttui/{attempt}", store)  # type: ignore[attr-defined]

    def look_for_sharing(self, output_dir: Path) -> None:
        """Find out whether all hosts have the same output folder, where two would write the same files."""
        if self._shares_run:
            return
        mark = output_dir / self.share(f".fttui-{secrets.token_hex(8)}" if self.is_main else None)
        if self.is_main:
            mark.touch()
        self.wait()
        self.shares_output = not self.any(not mark.exists())
        if self.is_main:
            mark.unlink()

    def any(self, flag: bool) -> bool:
        """Whether it is so on at least one rank; all ranks have to ask."""
        if self.count == 1:
            return flag
        import torch
        from torch import distributed

        tensor = torch.tensor([int(flag)])
        distributed.all_reduce(tensor, distributed.ReduceOp.MAX, group=self._group)
        return bool(tensor.item())

    def gather(self, values: list[float]) -> list[list[float]]:
        """Return the numbers of every rank, by rank; all ranks have to bring as many."""
        if self.count == 1:
            return [values]
        import torch
        from torch import distributed

        ours = torch.tensor(values, dtype=torch.float64)
        tensors: list[torch.Tensor] = [torch.empty_like(ours) for _ in range(self.count)]
        distributed.all_gather(tensors, ours, group=self._group)
        return [tensor.tolist() for tensor in tensors]

    def gather_objects(self, value: Any) -> list[Any]:
        """Return what every rank brings, by rank; it is pickled, so it ought to be small."""
        if self.count == 1:
            return [value]
        from torch import distributed

        found: list[Any] = [None] * self.count
        distributed.all_gather_object(found, value, group=self._group)
        return found

    def share(self, value: Any) -> Any:
        """Return rank 0's ``value`` on every rank."""
        if self.count == 1:
            return value
        from torch import distributed

        box = [value if self.is_main else None]
        distributed.broadcast_object_list(box, src=0, group=self._group, device=_cpu())
        return box[0]

    def main_first(self, work: Callable[[], T]) -> T:
        """Return what ``work`` comes to, done by the first rank of each host and then by the others, who find it there.

        That is rank 0 alone where all have the same run folder, and so the same state folder with what is kept in it.
        """
        found: T | None = None
        stopped = False
        if self.is_reporter:
            try:
                found = work()
            except StopRequestedError:
                stopped = True
        if self.any(stopped):
            raise StopRequestedError
        return found if self.is_reporter and found is not None else work()

    def wait(self) -> None:
        """Return when all ranks have come to this point."""
        if self.count > 1:
            self.any(False)

    def leave(self) -> None:
        """Part in peace, after the last thing that is done together."""
        if self._group is None:
            return
        from torch import distributed

        self.wait()
        distributed.destroy_process_group()
        self._group = None


def _cpu() -> "torch.device":
    import torch

    return torch.device("cpu")
