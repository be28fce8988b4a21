"""Writing a model's weights and configuration from whichever rank has been chosen to."""

from typing import Any


def write_model(model: Any, folder: Any, **options: Any) -> None:
    """Write a model as ``save_pretrained`` does, also from a rank that is not the first.

    transformers (5.23) writes on rank 0 only and says nothing elsewhere: on a host with folders of its own a
    checkpoint would have no weights.
    """
    model.should_save_on_this_rank = bool
    try:
        model.save_pretrained(folder, **options)
    finally:
        del model.should_save_on_this_rank
