"""How many floating-point operations a batch asks for: what TFLOP/s are counted with.

Products only (two operations per multiplication and addition), of the network as it stands:
padding, what gradient checkpointing computes again and the products of adapters do not count. A
backward pass costs one forward pass for the gradients of activations, and another for those of
weights where a part is trained in full.

Letters: B samples, P patches of a tile, L tokens of a sample.
"""

from __future__ import annotations

from dataclasses import dataclass

from smolvlm.config import ModelConfig
from smolvlm.training.collate import Batch
from smolvlm.training.stages import Part, Stage


@dataclass(frozen=True)
class Cost:
    """Operations of one forward pass: per token, tile, learned token; and what training multiplies.

    attention: per squared token of a sample, half of the square being hidden by the causal mask.
    """

    token: float
    attention: float
    tile: float
    patches: float  # cutting a tile into them
    connector: float  # per tile
    head: float  # per learned token
    text_passes: float
    vision_passes: float
    patches_passes: float
    connector_passes: float

    @classmethod
    def of(cls, config: ModelConfig, stage: Stage) -> Cost:
        """The cost of a model in a stage."""
        text, vision = config.text, config.vision
        heads = (2 * text.num_attention_heads + 2 * text.num_key_value_heads) * text.head_dim
        weights = text.hidden_size * (heads + 3 * text.intermediate_size)
        width, patches = vision.hidden_size, vision.num_patches
        layer = 2 * (4 * width**2 + 2 * width * vision.intermediate_size) + 4 * patches * width
        visual = config.tokens_per_tile * config.connector_width * text.hidden_size
        return cls(
            token=2.0 * text.num_hidden_layers * weights,
            attention=2.0 * text.num_hidden_layers * text.num_attention_heads * text.head_dim,
            tile=float(patches * vision.num_hidden_layers * layer),
            patches=2.0 * patches * vision.num_channels * vision.patch_size**2 * width,
            connector=2.0 * visual,
            head=2.0 * text.vocab_size * text.hidden_size,
            text_passes=_passes(stage.text, through=True),
            vision_passes=_passes(stage.vision, through=stage.vision.rate > 0),
            patches_passes=_passes(stage.vision, through=False),
            connector_passes=_passes(stage.connector, through=stage.vision.rate > 0),
        )

    def batch(self, batch: Batch) -> float:
        """Operations of a batch, forwards and backwards."""
        squares = sum(length**2 for length in batch.lengths)
        text = self.token * batch.tokens + self.head * batch.learned
        return (
            self.text_passes * text
            + 3.0 * self.attention * squares  # its backward pass is two products for each
            + len(batch.tiles) * self.vision_passes * self.tile
            + len(batch.tiles) * self.patches_passes * self.patches
            + len(batch.tiles) * self.connector_passes * self.connector
        )


def _passes(part: Part, *, through: bool) -> float:
    """Forward passes that a part's forward and backward pass are worth.

    through: whether gradients go on to what comes before.
    """
    whole = part.rate > 0 and part.adapter is None
    return 1.0 + whole + through
