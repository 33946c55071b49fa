"""Schemes and calibration prompts to quantised tensors: what is observed, folded and rounded how.

8-bit weights are rounded to the nearest code. Layers whose inputs are 8-bit codes too have their
channels made alike first. 4-bit weights are rounded so that their outputs stay. The methods are
those of `quant/`; how the result is written and what it cost is left to `quantize.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping, Sequence

import numpy as np

from smolvlm.config import ImageRules
from smolvlm.engines.base import Step
from smolvlm.engines.choose import choose
from smolvlm.evaluation.agreement import Prompt, Reading
from smolvlm.quant.calibrate import Inputs, observing, smooth
from smolvlm.quant.folder import Quantized
from smolvlm.quant.folding import Floats, folds
from smolvlm.quant.rounding import Compensation
from smolvlm.quant.schemes import BLOCK_ROWS, Scheme, quantize, quantize_blocks
from smolvlm.weights.names import EMBEDDING
from smolvlm.weights.packed import Packed
from smolvlm.weights.reader import Checkpoint

# Wider layers are rounded plainly: their moments would take more memory than the model.
WIDEST = 4608
_VISION = "vision_model."


def require_observer(checkpoint: Checkpoint, schemes: Mapping[str, Scheme]) -> None:
    """`EngineError` where layers have to be looked at and PyTorch is not installed."""
    if _observed(checkpoint, schemes)[1]:
        choose("torch")


def observe(
    checkpoint: Checkpoint,
    schemes: Mapping[str, Scheme],
    prompts: Sequence[Prompt],
    readings: Sequence[Reading],
    *,
    threads: int | None = None,
) -> dict[str, Inputs]:
    """What the layers that need it see of some prompts and the answers to them.

    Nothing is run where no layer needs it; else `require_observer` has to have passed.
    """
    compensated, layers = _observed(checkpoint, schemes)
    if not layers:
        return {}
    from smolvlm.engines.torch import TorchEngine

    engine = TorchEngine(checkpoint, ImageRules.from_folder(checkpoint.folder), threads=threads)
    with observing(engine.model, layers, moments=compensated) as seen:
        for prompt, reading in zip(prompts, readings, strict=True):
            features = reading.features  # (N * T, H)
            if any(name.startswith(_VISION) for name in layers):
                features = engine.encode_tiles(prompt.tiles).reshape(features.shape)
            if not all(name.startswith(_VISION) for name in layers):
                ids = np.concatenate([prompt.token_ids, reading.tokens])  # (L + n,)
                rows = features if len(features) else None
                engine.step([Step(engine.open_state(), ids, rows)])
    return dict(seen)


def round_all(
    checkpoint: Checkpoint, schemes: Mapping[str, Scheme], seen: Mapping[str, Inputs]
) -> Quantized:
    """Every matrix of a plan in its scheme, and what goes with it."""
    observed = dict(seen)
    tensors = _smoothed(checkpoint, schemes, observed)
    quantized = Quantized(
        inputs={name: observed[name].range for name, s in schemes.items() if s.inputs},
        changed={name: values for name, values in tensors.items() if name not in schemes},
    )
    rounder = Rounder(checkpoint)
    for name, scheme in schemes.items():
        quantized.matrices[name] = rounder.round(
            name, scheme, observed.get(name), values=tensors.get(name)
        )
    return quantized


class Rounder:
    """Rounds the matrices of a checkpoint one by one.

    Layers that read the same inputs follow each other, and share what was computed from these.
    """

    def __init__(self, checkpoint: Checkpoint) -> None:
        self._checkpoint = checkpoint
        self._last: tuple[Inputs, Compensation] | None = None

    def round(
        self, name: str, scheme: Scheme, inputs: Inputs | None, *, values: Floats | None = None
    ) -> Packed:
        """A matrix in a scheme; values: what it is now, None for what the checkpoint holds."""
        if inputs is None or inputs.moments is None or scheme.bits == 8:
            if values is not None:
                return quantize(values, scheme)
            return quantize_blocks(self._checkpoint.f32_blocks(name, BLOCK_ROWS), scheme)
        if self._last is None or self._last[0] is not inputs:
            self._last = inputs, Compensation(inputs.mean_moments())
        return self._last[1].round(self._checkpoint.f32(name) if values is None else values, scheme)


def _observed(checkpoint: Checkpoint, schemes: Mapping[str, Scheme]) -> tuple[list[str], list[str]]:
    """The layers whose moments are needed, and all of which something is."""
    compensated = [n for n, scheme in schemes.items() if _is_compensated(checkpoint, n, scheme)]
    return compensated, [*compensated, *(n for n, scheme in schemes.items() if scheme.inputs)]


def _is_compensated(checkpoint: Checkpoint, name: str, scheme: Scheme) -> bool:
    """Whether a matrix is rounded by its inputs' moments; a table of words has no inputs."""
    return scheme.bits == 4 and name != EMBEDDING and checkpoint.shape(name)[1] <= WIDEST


def _smoothed(
    checkpoint: Checkpoint, schemes: Mapping[str, Scheme], seen: MutableMapping[str, Inputs]
) -> dict[str, Floats]:
    """The tensors that making channels alike changes, with their new values; `seen` changes too."""
    places = [
        fold
        for fold in folds(checkpoint.config)
        if all(name in schemes and schemes[name].inputs for name in fold.readers)
    ]
    names = dict.fromkeys(name for fold in places for name in (*fold.makers, *fold.readers))
    tensors = {name: checkpoint.f32(name) for name in names}
    smooth(tensors, seen, places)
    return tensors
