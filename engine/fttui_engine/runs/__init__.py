"""The run directory: the only interface between viewers, supervisors and workers, read and written only here.

Import from the modules: nothing is imported here, because ``fttui ls`` pays for every import at each start.
"""
