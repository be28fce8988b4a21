"""Standard output for results alone: libraries print and log there too, some of them while they are imported."""

import os
import sys
from typing import TextIO


def claim_stdout() -> TextIO:
    """Return standard output for one's own use; what anything else writes there goes to stderr from now on."""
    results = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    sys.stdout.flush()
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    # Loggers keep the stream that they find at import.
    sys.stdout = sys.stderr
    return results
