"""From a configuration to a started run."""
