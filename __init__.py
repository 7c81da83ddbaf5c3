"""Ball action spotting on cached video features."""

__version__ = "0.1.0"
