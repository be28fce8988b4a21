"""What can go wrong in a worker in words that a user understands; each error knows its ``outcome.json`` kind."""

from fttui_engine.errors import FttuiError


class TrainError(FttuiError):
    """Training cannot go on; ``kind`` is the class of failure in ``outcome.json``."""

    kind = "error"


class DataError(TrainError):
    """A data set cannot be read or does not have the form it should have."""

    kind = "data"


class ModelError(TrainError):
    """A model or its tokenizer cannot be loaded or used as asked."""

    kind = "model"


class CheckpointError(TrainError):
    """The checkpoint to resume from cannot be used."""

    kind = "checkpoint"


class RanksError(TrainError):
    """The processes that train together did not find each other, or cannot do so."""

    kind = "meeting"


class EvaluationError(TrainError):
    """An evaluation cannot be made as asked."""

    kind = "evaluation"


class DiskFullError(TrainError):
    """There is no room for the next checkpoint."""

    kind = "disk_full"

    def __init__(self, message: str, hint: str, needed_bytes: int | None = None) -> None:
        super().__init__(message, hint)
        self.needed_bytes = needed_bytes


class DivergedError(TrainError):
    """The loss became NaN or infinite, or exploded; going on would only spoil the weights."""

    kind = "diverged"


class StopRequestedError(Exception):
    """Not a failure: a stop was asked for outside the training steps, where there is nothing to save."""
