"""A head: two convolutions over the tokens, under ballspot's class and offset layers."""

from torch import Tensor, nn


class Conv(nn.Module):
    def __init__(self, dim: int, width: int, n_blocks: int = 2) -> None:
        super().__init__()
        self.width = width  # numbers per token: this makes it a trunk
        self.first = nn.Linear(dim, width)
        self.blocks = nn.ModuleList(nn.Conv1d(width, width, 3, padding=1) for _ in range(n_blocks))

    def forward(self, frames: Tensor) -> Tensor:  # (B, N, dim) -> (B, N, width)
        tokens = self.first(frames).transpose(1, 2)
        for block in self.blocks:
            tokens = tokens + block(tokens).relu()
        return tokens.transpose(1, 2)
