"""The learning rate of every step: a linear warm-up, then half a cosine down."""

import math


def learning_rate(
    step: int, *, n_steps: int, n_warmup_steps: int, peak: float, final: float, warmup_start: float = 0.01
) -> float:
    """The rate of step ``step`` (0-based) of ``n_steps``: warmup_start * peak, straight up to peak at step
    ``n_warmup_steps``, then along a cosine to ``final`` at the last step.
    """
    if step < n_warmup_steps:
        return peak * (warmup_start + (1.0 - warmup_start) * step / n_warmup_steps)
    n_cosine_steps = max(n_steps - 1 - n_warmup_steps, 1)
    progress = min((step - n_warmup_steps) / n_cosine_steps, 1.0)
    return final + (peak - final) * 0.5 * (1.0 + math.cos(math.pi * progress))
