"""Keeping one run alive: keeper, supervisor, process trees, verdicts. Starts in milliseconds, weighs next to nothing."""
