"""Importing transformers' Trainer without what this run does not use."""

import contextlib
import gc
import logging
import os
import sys
import warnings
from collections.abc import Iterable, Iterator
from typing import Any


def quieten(unused: Iterable[str]) -> None:
    """Hide the ``unused`` packages from what is imported later, and keep its progress bars and deprecations silent."""
    for name in unused:
        # None makes find_spec answer "not installed".
        sys.modules.setdefault(name, None)  # type: ignore[arg-type]
    # A progress bar in a log file is one endless line.
    os.environ["TQDM_DISABLE"] = "1"
    # Deprecations inside these libraries are not the user's to mend.
    warnings.filterwarnings("ignore", category=FutureWarning)
    warnings.filterwarnings("ignore", category=DeprecationWarning)


@contextlib.contextmanager
def _uncollected() -> Iterator[None]:
    """Keep the garbage collector away from what is made here, now and for good; all of it lives as long as the process.

    Searching it for garbage costs 0.5 s of CPU while it is imported and 1.1 s when the process ends.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if was_enabled:
            gc.enable()


def import_transformers(unused: Iterable[str]) -> None:
    """Import torch, transformers and peft as if the ``unused`` packages were not installed, for this whole process.

    transformers, accelerate and peft import every optional package that they find. Without bitsandbytes (which pulls
    in torch's compiler) and datasets (pandas, pyarrow) that takes 4.0 instead of 5.4 s of CPU and 347 instead of 473 MB.
    """
    quieten(unused)
    # It names an accelerator that is missing, and each product whose input it rounds: a line per layer and step.
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    with _uncollected():
        import peft  # noqa: F401
        import transformers
        from transformers import AutoModelForCausalLM, AutoTokenizer, Trainer  # noqa: F401

    # transformers' logging has no types.
    messages: Any = transformers.logging
    messages.set_verbosity_warning()
    messages.disable_progress_bar()
