"""The model: loading, quantizing, adapters, what is trained and what is frozen."""
