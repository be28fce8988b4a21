"""The one place that states the version; the build, the command line and every manifest read it."""

__version__ = "0.1.0"
