"""The commands that need only the files of feature sets: `cache info`, `cache list` and `cache remove`."""
