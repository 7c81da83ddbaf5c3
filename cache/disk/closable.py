"""What holds files or processes until it is closed."""

from abc import ABC, abstractmethod
from typing import Self


class Closable(ABC):
    """A context manager that closes itself at the end, for classes with a `close`."""

    @abstractmethod
    def close(self) -> None:
        """Gives up what is held."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()
