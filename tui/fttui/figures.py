"""Numbers as people read them in a narrow column."""

import math

MISSING = "-"


def duration(seconds: float | None) -> str:
    """Write a span of time in its two largest units: ``42s``, ``6m``, ``2h41m``, ``3d4h``."""
    if seconds is None or not math.isfinite(seconds):
        return MISSING
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole}s"
    minutes = whole // 60
    if minutes < 60:
        # Seconds matter to somebody who waits for the end, and only then.
        return f"{minutes}m{whole % 60:02d}s" if minutes < 10 else f"{minutes}m"
    hours = minutes // 60
    if hours < 48:
        return f"{hours}h{minutes % 60:02d}m"
    return f"{hours // 24}d{hours % 24}h"


def age(seconds: float | None) -> str:
    """Write how long ago something was, in one unit, so that it rarely changes: ``42s``, ``6m``, ``2h``, ``3d``."""
    if seconds is None or not math.isfinite(seconds):
        return MISSING
    whole = max(0, int(seconds))
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if whole >= size:
            return f"{whole // size}{unit}"
    return f"{whole}s"


def count(value: float | None) -> str:
    """Write a rate or a count with at most three digits that matter: ``612``, ``6.1k``, ``18.4k``."""
    if value is None or not math.isfinite(value):
        return MISSING
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if abs(value) >= size:
            return f"{value / size:.1f}{unit}"
    return f"{value:.0f}" if abs(value) >= 10 else f"{value:.1f}"


def memory(size_bytes: float | None) -> str:
    """Write an amount of memory or disk in binary units: ``512M``, ``71.2G``."""
    if size_bytes is None:
        return MISSING
    for unit, size in (("T", 1 << 40), ("G", 1 << 30), ("M", 1 << 20), ("K", 1 << 10)):
        if size_bytes >= size:
            value = size_bytes / size
            return f"{value:.0f}{unit}" if value >= 100 else f"{value:.1f}{unit}"
    return f"{size_bytes:.0f}B"


def loss(value: float | None) -> str:
    """Write a loss with four digits that matter; a loss that is no number says so."""
    if value is None:
        return MISSING
    if not math.isfinite(value):
        return str(value)
    if abs(value) >= 1e5 or (value != 0 and abs(value) < 1e-3):
        return f"{value:.1e}"
    return f"{value:.{max(0, 3 - max(0, int(math.log10(abs(value)))) if abs(value) >= 1 else 3)}f}"


def rate(value: float | None) -> str:
    """Write a learning rate: ``1.8e-4``."""
    if value is None or not math.isfinite(value):
        return MISSING
    if value == 0:
        return "0"
    mantissa, exponent = f"{value:.1e}".split("e")
    return f"{mantissa}e{int(exponent)}"


def steps(step: int | None, max_steps: int | None) -> str:
    """Write progress: ``3120/9000``, or what of it is known."""
    if step is None:
        return MISSING
    return f"{step}/{max_steps}" if max_steps else str(step)


def percent(step: int | None, max_steps: int | None) -> str:
    """Write progress as a whole percentage, never rounded up to 100."""
    if step is None or not max_steps:
        return MISSING
    return f"{min(100, step * 100 // max_steps)}%"


def bar(fraction: float, width: int) -> str:
    """Draw a fraction as a bar of blocks."""
    filled = round(min(1.0, max(0.0, fraction)) * width) if math.isfinite(fraction) else 0
    return "█" * filled + "░" * (width - filled)
