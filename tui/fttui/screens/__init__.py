"""The screens: the dashboard, one run, its log, a new run, and the small dialogs."""
