"""The precision of a profile follows the cards that are here; what a person wrote is never touched.

A profile is written for one precision, and cards before Ampere have no bfloat16, those of 6.1 no fast float16.
"""

from typing import Any

from fttui_engine.spec.findings import Findings, Place, Translated

SIXTEEN_BITS = ("bf16", "fp16")


def fit_precision(values: dict[str, Any], places: dict[str, Place], findings: Findings) -> None:
    """Put the best precision of this host's cards in the place of the profile's, and say so."""
    gpus = values.get("run.gpus", "auto")
    if values.get("run.launcher") == "slurm":
        return  # the cards of the compute nodes are not those that are here
    if values.get("use_cpu") or gpus == "none" or not any(map(values.get, (*SIXTEEN_BITS, "tf32"))):
        return
    from fttui_engine.hardware.capability import best_precision, chosen_cards

    cards = chosen_cards(gpus)
    if not cards:
        return
    oldest = min(cards, key=lambda card: card.capability)
    if values.get("tf32") and _is_of_profile("tf32", values, places) and not oldest.rules.has_tf32:
        del values["tf32"], places["tf32"]
    asked = [key for key in SIXTEEN_BITS if values.get(key)]
    best = best_precision([card.capability for card in cards])
    if len(asked) != 1 or asked[0] == best:
        return
    if not all(_is_of_profile(key, values, places) for key in SIXTEEN_BITS):
        return
    place = places.pop(asked[0])
    del values[asked[0]]
    if best is not None:
        values[best], places[best] = True, place
    speed = f"computes best in {best}" if best else "computes fast in float32 only"
    new = f"{best}: true" if best else f"{asked[0]}: false"
    why = f"{place.layer} follows the hardware, and {oldest.shown} {speed}"
    findings.translated.append(Translated(f"{asked[0]}: true", new, place.line, why))


def _is_of_profile(key: str, values: dict[str, Any], places: dict[str, Place]) -> bool:
    """Whether nobody but a profile has said anything of ``key``."""
    return key not in values or places[key].layer.startswith("profile ")
