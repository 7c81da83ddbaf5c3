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


def read_number(picture: np.ndarray) -> int | None:
    """The number in a picture, uint8 (height, width) or (height, width, 3); None when it shows none clearly."""
    luma = picture.mean(axis=2) if picture.ndim == 3 else picture.astype(np.float64)
    block_height, block_width = _block(luma.shape)
    n_rows = 2 * N_BITS // N_COLUMNS
    code = luma[: n_rows * block_height, : N_COLUMNS * block_width]
    blocks = code.reshape(n_rows, block_height, N_COLUMNS, block_width)
    margin_y, margin_x = block_height // 4, block_width // 4
    inner = blocks[:, margin_y : block_height - margin_y, :, margin_x : block_width - margin_x]
    values = inner.mean(axis=(1, 3)).reshape(2, N_BITS)
    if np.abs(values[0] - values[1]).min() < (LIGHT - DARK) / 3:
        return None
    bits = values[0] > values[1]
    return int((bits << np.arange(N_BITS)).sum())


def _block(shape: tuple[int, ...]) -> tuple[int, int]:
    return shape[0] // 16, shape[1] // N_COLUMNS
