"""The steps: the Trainer, its arguments, checkpoints, metrics and the way to stop."""
