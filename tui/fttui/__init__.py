"""The screens and the ``fttui`` command."""
