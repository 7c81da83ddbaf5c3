"""Pictures that say which frame they are: a number as black and white blocks, readable after lossy video coding."""

import numpy as np

N_COLUMNS = 10
N_BITS = 20
DARK, LIGHT = 20, 235


def draw_number(luma: np.ndarray, number: int) -> None:
    """Draws `number` (0 to 2**20 - 1) into the top quarter of a picture's luma, uint8 (height, width), in place.

    Two rows of ten blocks hold the bits, lowest first; two more hold their complement, so that a picture which is not
    such a code is told from one. Raises ValueError for a number that is out of range.
    """
    if not 0 <= number < 2**N_BITS:
        raise ValueError(f"{number} does not fit into {N_BITS} bits")
    bits = (number >> np.arange(N_BITS)) & 1
    rows = np.concatenate([bits, 1 - bits]).reshape(-1, N_COLUMNS)  # (4, 10)
    block_height, block_width = _block(luma.shape)
    code = np.where(rows, LIGHT, DARK).astype(np.uint8).repeat(block_height, axis=0).repeat(block_width, axis=1)
    luma[: code.shape[0], : code.shape[1]] = code


def _block(shape: tuple[int, ...]) -> tuple[int, int]:
    return shape[0] // 16, shape[1] // N_COLUMNS
