"""The parts of the screens; each is drawn by a pure function from data to lines."""
