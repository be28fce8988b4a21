"""Memory before the start: the shape of the model, the work of one process, the peak term by term, and advice."""
