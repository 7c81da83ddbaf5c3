"""What holds files or processes until it is closed."""

from typing import Self


class Closable:
    """A context manager that closes itself at the end, for classes with a `close`."""

    def close(self) -> None:
        """Gives up what is held."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()
