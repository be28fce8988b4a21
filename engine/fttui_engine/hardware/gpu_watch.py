"""Watching all GPUs without ever waiting for one: a thread per GPU, and a look that never blocks.

A driver call on a GPU that hangs does not return for tens of seconds, or never. Each GPU therefore has threads of its
own; ``look`` says what is known by now, how old it is, and which GPU owes an answer.
"""

import time
from collections.abc import Callable
from threading import Event, Thread
from typing import Any

from fttui_engine.hardware.gpu import Gpu, GpuReport
from fttui_engine.hardware.gpu_reading import GpuReader
from fttui_engine.hardware.nvml import NO_GPU, ask, open_nvml
from fttui_engine.hardware.xid import KernelLog, Slot, Xid, with_xid

DEADLINE_SECONDS = 2.0
"""A GPU that has not answered for so long is said not to answer; the usual reading takes some milliseconds."""
COUNT_SECONDS = 5.0
"""How often the driver is asked how many GPUs there are, or whether it is there by now."""
EVENT_WAIT_MILLISECONDS = 5000
MOST_HEARD = 500
NO_ANSWER = "no answer"


class GpuWatch:
    """Keeps the latest reading of each GPU; a monitor closes it at its end, and threads that hang are left behind."""

    def __init__(
        self, *, period_seconds: float | None = 1.0, listens: bool = True, before: "GpuWatch | None" = None
    ) -> None:
        """``period_seconds`` None reads once; ``listens`` also hears of Xids.

        A GPU that still owes an answer to the watch ``before`` is not asked again: each question to one that hangs
        leaves a thread behind for good.
        """
        self._before = before._watched if before else []
        self._period, self._listens = period_seconds, listens
        self._closed, self._changed = Event(), Event()
        self._watched: list[_WatchedGpu] = []
        self._problem: str | None = None
        self._heard: list[tuple[Slot, Xid]] = []
        self._has_answered = False
        self._asked_at: float | None = time.monotonic()
        Thread(target=self._open, daemon=True, name="fttui-nvml").start()

    def close(self) -> None:
        """End the threads at their next step."""
        self._closed.set()

    @property
    def has_opened(self) -> bool:
        """Whether the driver has answered at all."""
        return self._has_answered

    def look(self) -> GpuReport | None:
        """What is known now; ``None`` while the driver has not answered at all yet and is not late either."""
        if watched := self._watched:
            heard = self._heard
            return GpuReport(tuple(each.look(heard) for each in watched), self._problem)
        if self._has_answered:
            return GpuReport((), self._problem)
        late = _late(self._asked_at)
        return GpuReport((), f"The NVIDIA driver has not answered for {late}.") if late else None

    def wait(self, open_seconds: float, gpu_seconds: float, others_seconds: float) -> GpuReport:
        """What is known once all GPUs have answered; ``others_seconds`` is how long they get after the first of them."""
        self._wait_until(lambda: self._has_answered, open_seconds)
        self._wait_until(lambda: any(each.is_settled for each in self._watched), gpu_seconds)
        self._wait_until(lambda: all(each.is_settled for each in self._watched), others_seconds)
        return self.look() or GpuReport((), f"The NVIDIA driver has not answered for {open_seconds:.0f} s.")

    def _wait_until(self, condition: Callable[[], bool], seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not condition() and not (self._has_answered and not self._watched):
            left = deadline - time.monotonic()
            if left <= 0:
                return
            self._changed.wait(min(left, 0.1))
            self._changed.clear()

    def _open(self) -> None:
        log = KernelLog() if self._listens and self._period else None
        while not self._closed.is_set():
            self._asked_at = time.monotonic()
            if log:
                self._heard = [*self._heard, *log.read()][-MOST_HEARD:]
            self._problem = self._count()
            self._asked_at, self._has_answered = None, True
            self._changed.set()
            if self._period is None:
                return
            self._closed.wait(COUNT_SECONDS)
        if log:
            log.close()

    def _count(self) -> str | None:
        nvml, problem = open_nvml()
        if problem is not None:
            return problem
        errors: dict[str, str] = {}
        count = ask(errors, "count", nvml.nvmlDeviceGetCount)
        if count is None:
            return f"The NVIDIA driver cannot list its GPUs: {errors['count']}."
        new = [self._watch(nvml, index) for index in range(len(self._watched), count)]
        # Replaced and not added to: ``look`` runs at the same time.
        self._watched = [*self._watched, *new]
        return None if self._watched else f"{NO_GPU}: the driver is loaded, but it lists none."

    def _watch(self, nvml: Any, index: int) -> "_WatchedGpu":
        owing = next((each for each in self._before if each.reader.index == index and each.is_owing), None)
        if owing:
            owing.is_left_over = True
            return owing
        return _WatchedGpu(nvml, index, self._period, self._closed, self._changed, listens=self._listens)


class _WatchedGpu:
    """One GPU with its threads; everything they share with ``look`` is replaced as a whole."""

    def __init__(
        self, nvml: Any, index: int, period: float | None, closed: Event, changed: Event, *, listens: bool
    ) -> None:
        self.reader = GpuReader(nvml, index)
        self._nvml, self._period, self._closed, self._changed = nvml, period, closed, changed
        self._good: Gpu | None = None
        self._bad: Gpu | None = None
        self._xids: tuple[Xid, ...] = ()
        self._asked_at: float | None = time.monotonic()
        self._listens = listens and period is not None
        self.is_left_over = False
        Thread(target=self._read, daemon=True, name=f"fttui-gpu-{index}").start()

    @property
    def is_owing(self) -> bool:
        """Whether it has been asked and not answered yet."""
        return self._asked_at is not None

    @property
    def is_settled(self) -> bool:
        """Whether there was any answer, good or bad, or there is no point in waiting for one."""
        return self._good is not None or self._bad is not None or self.is_left_over

    def note(self, xid: Xid) -> None:
        """Remember a report of an error."""
        self._xids = with_xid(self._xids, xid)

    def look(self, heard: list[tuple[Slot, Xid]]) -> Gpu:
        """The latest values, and what is wrong if they are not of now; ``heard`` is what the kernel's log tells."""
        good, bad, late = self._good, self._bad, _late(self._asked_at)
        for slot, xid in heard:
            if slot == self.reader.slot:
                self.note(xid)
        shown = good or bad
        if shown is None:
            shown = Gpu(self.reader.index, None, f"GPU {self.reader.index}", *(None,) * 7, (), {})
        shown = shown._replace(xids=self._xids)
        if late:
            return shown._replace(trouble=f"{NO_ANSWER} for {late}")
        if bad is None:
            return shown
        serious = next((each for each in reversed(self._xids) if each.is_serious), None)
        reason = next(iter(bad.errors.values()), NO_ANSWER)
        return shown._replace(
            errors=bad.errors,
            processes=(),
            instances=(),
            trouble=f"{reason} ({serious.text})" if serious else reason,
        )

    def _read(self) -> None:
        is_first = True
        while not self._closed.is_set():
            self._asked_at = time.monotonic()
            gpu = self.reader.read()
            if gpu.answers:
                self._good, self._bad = gpu, None
            else:
                self._bad = gpu
            self._asked_at = None
            self._changed.set()
            if self._period is None:
                return
            if is_first and self._listens:
                Thread(target=self._listen, daemon=True, name=f"fttui-xid-{gpu.index}").start()
            is_first = False
            self._closed.wait(self._period)

    def _listen(self) -> None:
        """Wait for the driver's events in a thread of its own: they come just when all other calls hang."""
        nvml, heard = self._nvml, nvml_event_set(self._nvml, self.reader)
        while not self._closed.is_set():
            if heard is None:
                # It was lost, or its driver has no such events.
                self._closed.wait(EVENT_WAIT_MILLISECONDS / 1000)
                heard = nvml_event_set(nvml, self.reader)
                continue
            errors: dict[str, str] = {}
            event = ask(errors, "event", nvml.nvmlEventSetWait_v2, heard, EVENT_WAIT_MILLISECONDS)
            if event is not None and event.eventType & nvml.nvmlEventTypeXidCriticalError:
                self.note(Xid(int(event.eventData), time.time()))
                self._changed.set()
            elif errors.get("event") not in (None, str(nvml.NVMLError(nvml.NVML_ERROR_TIMEOUT))):
                ask({}, "", nvml.nvmlEventSetFree, heard)
                heard = None


def nvml_event_set(nvml: Any, reader: GpuReader) -> Any:
    """A set that hears of the Xids of one GPU; None where there are none to be had."""
    handle = reader.handle({})
    events = None if handle is None else ask({}, "", nvml.nvmlEventSetCreate)
    if events is None:
        return None
    errors: dict[str, str] = {}
    ask(errors, "events", nvml.nvmlDeviceRegisterEvents, handle, nvml.nvmlEventTypeXidCriticalError, events)
    if errors:
        ask({}, "", nvml.nvmlEventSetFree, events)
        return None
    return events


def _late(asked_at: float | None) -> str:
    """How long an answer has been owed, if that is too long."""
    seconds = 0.0 if asked_at is None else time.monotonic() - asked_at
    if seconds < DEADLINE_SECONDS:
        return ""
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
