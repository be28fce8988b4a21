"""The worker: supervised fine-tuning of a causal language model, started as ``python -P -m fttui_engine.train``."""
