"""From patches to visual tokens: the pixel shuffle and one projection without bias.

The shuffle trades length for width: an s x s block of neighbouring patches becomes one token s*s
times as wide. The order of channels inside a token (row of the block slowest, then column, then
channel) is the published one.
"""

from __future__ import annotations

from torch import Tensor, nn

from smolvlm.config import ModelConfig


def pixel_shuffle(x: Tensor, factor: int) -> Tensor:
    """Patches (N, g*g, D) -> tokens (N, T, factor*factor*D), T = (g/factor)^2; both row by row."""
    side = round(x.shape[1] ** 0.5)
    assert side * side == x.shape[1] and side % factor == 0, (x.shape, factor)
    out = side // factor
    blocks = x.reshape(len(x), out, factor, out, factor, -1)  # (N, oy, dy, ox, dx, D)
    return (
        blocks.transpose(2, 3).flatten(3).flatten(1, 2)
    )  # (N, oy, ox, dy, dx, D) -> (N, T, dy*dx*D)


class Projection(nn.Module):
    """The linear layer into the text width; a level of its own as the published names have it."""

    def __init__(self, width: int, text_width: int) -> None:
        super().__init__()
        self.proj = nn.Linear(width, text_width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(N, T, s*s*D) -> (N, T, H)."""
        projected: Tensor = self.proj(x)
        return projected


class Connector(nn.Module):
    """Patch vectors of tiles to visual tokens."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.scale_factor = config.scale_factor
        self.modality_projection = Projection(config.connector_width, config.text.hidden_size)

    def forward(self, x: Tensor) -> Tensor:
        """(N, g*g, D) -> (N, T, H)."""
        tokens: Tensor = self.modality_projection(pixel_shuffle(x, self.scale_factor))
        return tokens
