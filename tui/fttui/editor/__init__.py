"""What the configuration editor edits: a text that keeps its comments and order, and what is known of each key."""
