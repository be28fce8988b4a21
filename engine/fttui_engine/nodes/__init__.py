"""Several machines: which there are, how to talk to them over ssh, and whether they can train together."""
