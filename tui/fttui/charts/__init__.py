"""Charts of any metric: columns of numbers, smoothed, reduced to what a terminal can show."""
