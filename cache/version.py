"""The version of the package, for what is written on disk to say what wrote it."""

__version__ = "0.2.0"
