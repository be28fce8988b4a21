"""What each optimizer remembers of every weight that is trained."""

from fttui_engine.spec.memory.model_shape import UnknownShapeError
from fttui_engine.spec.memory.workload import Workload

# Bytes per optimizer state beside its own: scales of blocks of 256 states in 8 bits.
SCALE_BYTES = 4 / 256

# Optimizers: number of states per weight, and bytes of each; None means those of the weight.
STATES: dict[str, tuple[int, float | None]] = {
    "adamw_torch": (2, None),
    "adamw_torch_fused": (2, None),
    "adagrad": (1, None),
    "rmsprop": (1, None),
    "sgd": (0, None),
    # Keeps sums of rows and columns only: a thousandth of the weights.
    "adafactor": (0, None),
    # The momentum of the matrices; the few other weights are not counted apart.
    "muon": (1, None),
    "adamw_8bit": (2, 1 + SCALE_BYTES),
    "adamw_bnb_8bit": (2, 1 + SCALE_BYTES),
    "paged_adamw_8bit": (2, 1 + SCALE_BYTES),
    "paged_adamw_32bit": (2, 4),
    "lion_8bit": (1, 1 + SCALE_BYTES),
    "paged_lion_8bit": (1, 1 + SCALE_BYTES),
    "lion_32bit": (1, 4),
    "paged_lion_32bit": (1, 4),
    "rmsprop_bnb": (1, 4),
    "rmsprop_bnb_8bit": (1, 1 + SCALE_BYTES),
    "rmsprop_bnb_32bit": (1, 4),
    # Two means of gradients, a fast and a slow one, and one of their squares.
    "ademamix": (3, 4),
    "ademamix_8bit": (3, 1 + SCALE_BYTES),
    "paged_ademamix_32bit": (3, 4),
    "paged_ademamix_8bit": (3, 1 + SCALE_BYTES),
}
# These update all weights at once on a GPU, and need one more value for each meanwhile.
WHOLE_UPDATES = frozenset({"adamw_torch", "adagrad", "rmsprop"})


def optimizer_bytes(work: Workload) -> int:
    """The states of all trained weights, of all processes together where they divide them."""
    if work.optimizer not in STATES:
        raise UnknownShapeError(f"Memory is not predicted for optim: {work.optimizer}.")
    count, size = STATES[work.optimizer]
    adapters, modules = work.trained.adapter_weights, work.trained.module_weights
    if size is None:
        return count * work.trained_bytes
    # transformers leaves the states of embeddings at 32 bits beside 8-bit ones.
    whole = work.trained.embedding_weights if size < 4 else 0
    return int(count * (size * (adapters + modules - whole) + 4 * whole))
