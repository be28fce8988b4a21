"""Slurm, by its own programs: the batch script of a run, submitting it, looking at it, cancelling it."""
