"""Questions to a base and a trained model: what was asked, and what was answered so far."""
