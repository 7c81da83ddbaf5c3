"""The root of every error that a user can cause."""


class BallspotError(Exception):
    """One line that names the value, the place and the remedy; the command line prints it and exits with 1."""
