"""Everything about a fine-tuning run that is true without a screen."""
