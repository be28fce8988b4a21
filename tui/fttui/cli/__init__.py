"""The command line: one module per group of verbs; stdout is data, stderr is talk."""
