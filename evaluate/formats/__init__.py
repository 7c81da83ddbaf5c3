"""The files that others keep spots in: one module a format, `formats.family` lists them."""
