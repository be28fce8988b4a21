"""What of this machine would stand in the way of training, and how to mend it: one module per subject."""
