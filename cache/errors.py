"""The root of every error that a user can cause."""


class BallspotError(Exception):
    """One line that names the value, the place and the remedy; the command line prints it and exits with 1.

    A value with line ends in it, of a file or of another package's error, is put on the one line.
    """

    def __init__(self, text: str) -> None:
        super().__init__(" ".join(text.splitlines()))
