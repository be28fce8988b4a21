"""What a new run is going to be: the choices, what they amount to, and what there is to choose from."""
