"""The table of every key that has an effect: type, default, range, choices, help.

One line per key, one module per group. ``values.py`` turns YAML into a value of the key's kind, ``known_keys.py`` lists
the names that LLaMA-Factory and transformers know but that have no effect here, ``config.py`` is the typed form for the
worker.
"""

from fttui_engine.spec.keys.data import DATA
from fttui_engine.spec.keys.key import Key, Kind
from fttui_engine.spec.keys.model import MODEL
from fttui_engine.spec.keys.ppo import PPO
from fttui_engine.spec.keys.preference import PREFERENCE
from fttui_engine.spec.keys.ranks import RANKS
from fttui_engine.spec.keys.run import RUN
from fttui_engine.spec.keys.saving import SAVING
from fttui_engine.spec.keys.training import BITSANDBYTES_OPTIMIZERS, PRECISION, TORCH_OPTIMIZERS, TRAINING
from fttui_engine.spec.keys.tuning import TUNING
from fttui_engine.spec.keys.using import EXPORT, GENERATION

__all__ = ["BITSANDBYTES_OPTIMIZERS", "BLOCKS", "GROUPS", "KEYS", "TORCH_OPTIMIZERS", "Key", "Kind"]

# In the order in which an editor shows them.
GROUPS: dict[str, tuple[Key, ...]] = {
    "model": MODEL,
    "tuning": TUNING,
    "preference": PREFERENCE,
    "ppo": PPO,
    "data": DATA,
    "training": TRAINING,
    "precision": PRECISION,
    "saving": SAVING,
    "generation": GENERATION,
    "export": EXPORT,
    "ranks": RANKS,
    "run": RUN,
}

KEYS: dict[str, Key] = {key.name: key for group in GROUPS.values() for key in group}

# Keys that hold a block of keys of their own.
BLOCKS = frozenset({"run", "run.restart", "run.slurm"})
