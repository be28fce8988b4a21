"""Smoothing, before anything is left out: a chart that smooths what it has already thinned out shows another curve."""

from array import array

WEIGHTS = (0.0, 0.5, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.999)


class Smoothing:
    """An exponential moving average that is not drawn towards zero at its start (debiased, as Adam's moments are)."""

    def __init__(self, weight: float) -> None:
        self._weight = weight
        self._average, self._share = 0.0, 1.0
        self._smoothed = array("d")

    def up_to(self, values: "array[float]") -> "array[float]":
        """Return the smoothed values; the ones that were there before are not computed again."""
        weight, average, share = self._weight, self._average, self._share
        for value in values[len(self._smoothed) :]:
            average = weight * average + (1 - weight) * value
            share *= weight
            self._smoothed.append(average / (1 - share))
        self._average, self._share = average, share
        return self._smoothed
