"""What the processes of one attempt tell each other beside gradients: few and small things, over gloo."""

import os
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from fttui_engine.train.errors import StopRequestedError

if TYPE_CHECKING:
    import torch

T = TypeVar("T")

# Whoever started the ranks ends all when one dies, so that a wait may be as long as preparing the data takes.
_LONGEST_WAIT = timedelta(days=7)
_MEETING_TIMEOUT = timedelta(minutes=30)


class Ranks:
    """This process among those that train together; alone it agrees with itself at no cost."""

    def __init__(self, rank: int = 0, count: int = 1) -> None:
        self.rank = rank
        self.count = count
        self._group: Any = None

    @classmethod
    def from_environment(cls) -> "Ranks":
        """Return the place that ``train.ranks`` gave this process; alone where it was started directly."""
        if "RANK" not in os.environ or "FTTUI_RUN_DIR" not in os.environ:
            return cls()
        return cls(int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"]))

    @property
    def is_main(self) -> bool:
        """Whether this is rank 0, which reports and writes."""
        return self.rank == 0

    def join(self, *, use_cpu: bool, timeout_seconds: float) -> None:
        """Meet the other ranks; ``timeout_seconds`` is the longest that an exchange of gradients may take."""
        if self.count == 1:
            return
        import torch
        from torch import distributed

        listener = os.environ.pop("FTTUI_RENDEZVOUS_FD", None)
        store = distributed.TCPStore(  # type: ignore[attr-defined]
            os.environ["MASTER_ADDR"],
            int(os.environ["MASTER_PORT"]),
            self.count,
            is_master=self.is_main,
            timeout=_MEETING_TIMEOUT,
            master_listen_fd=int(listener) if listener else None,
        )
        if not use_cpu:
            torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
        distributed.init_process_group(
            "gloo" if use_cpu else "nccl",
            store=store,
            rank=self.rank,
            world_size=self.count,
            timeout=timedelta(seconds=timeout_seconds),
        )
        # Of its own: NCCL has no patience to wait for data, and a look at the stop flag would wait for the GPU.
        self._group = distributed.new_group(backend="gloo", timeout=_LONGEST_WAIT)

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
        """Return what ``work`` comes to, done by rank 0 and then by the others, who find what it left on disk."""
        if not self.is_main:
            if self.share(None) == "stopped":
                raise StopRequestedError
            return work()
        try:
            found = work()
        except StopRequestedError:
            self.share("stopped")
            raise
        self.share("done")
        return found

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
