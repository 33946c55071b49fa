"""What the inputs of layers look like: the range of every channel, and which go together.

PyTorch runs the network and a hook on each linear layer looks at what comes in. From that follow
the range in which inputs become 8-bit codes, the scales that make channels alike (SmoothQuant, Xiao
et al. 2023, folded in by `folding.py`), and the second moments that good rounding needs
(`rounding.py`). What is run through the network is the caller's choice.

Letters: C channels of a layer's input, N samples, L rows of a sequence.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from smolvlm.quant.folding import Floats, Fold
from smolvlm.weights.quantized import InputRange

if TYPE_CHECKING:
    import torch
    from torch import nn

# Between moving all of a channel's size into the weights (1) and none of it (0).
SMOOTHING = 0.5
# No channel is scaled by more: a channel that calibration hardly saw may be large elsewhere.
MOST_SCALED = 16.0
_WEIGHT = ".weight"


@dataclass
class Inputs:
    """The inputs one layer has seen. low, high: float32 (C,), zero included.

    moments: the sum of x x', float32 (C, C), where it was asked for; rows: of how many x.
    """

    low: Floats
    high: Floats
    rows: int = 0
    moments: NDArray[np.float32] | None = None

    @property
    def range(self) -> InputRange:
        """The range of all channels together."""
        return range_between(float(self.low.min()), float(self.high.max()))

    @property
    def peaks(self) -> Floats:
        """The largest size of each channel (C,)."""
        return np.maximum(self.high, -self.low)

    def mean_moments(self) -> NDArray[np.float64]:
        """E[x x'], float64 (C, C)."""
        assert self.moments is not None and self.rows, "no moments were taken"
        return self.moments.astype(np.float64) / self.rows

    def divided(self, columns: Floats) -> Inputs:
        """The same inputs once each channel is divided by a number (C,)."""
        moments = None if self.moments is None else self.moments / np.outer(columns, columns)
        return Inputs(self.low / columns, self.high / columns, self.rows, moments)

    def see(self, x: torch.Tensor, *, moments: bool) -> None:
        """Take in a layer's input (N, L, C)."""
        flat = x.detach().flatten(0, -2).float()  # (N * L, C)
        self.low = np.minimum(self.low, flat.amin(0).numpy())
        self.high = np.maximum(self.high, flat.amax(0).numpy())
        self.rows += len(flat)
        if moments:
            squares = (flat.T @ flat).numpy()  # (C, C)
            self.moments = squares if self.moments is None else self.moments + squares


@contextmanager
def observing(
    model: nn.Module, layers: Iterable[str], *, moments: Iterable[str] = ()
) -> Iterator[dict[str, Inputs]]:
    """Look at the inputs of some linear layers, by the names of their weights, while within.

    moments: those of them whose second moments are wanted, which take C * C numbers each. Layers
    that read the same tensor and want the same of it, as queries, keys and values do, share what is
    kept.
    """
    seen: dict[str, Inputs] = {}
    wanted = set(moments)
    last: dict[bool, tuple[torch.Tensor, Inputs]] = {}  # with moments, and without

    def look(name: str, x: torch.Tensor) -> None:
        deeply = name in wanted
        if deeply in last and last[deeply][0] is x:
            seen[name] = last[deeply][1]
            return
        if name not in seen:
            nothing = np.zeros(x.shape[-1], dtype=np.float32)
            seen[name] = Inputs(nothing, nothing)
        seen[name].see(x, moments=deeply)
        last[deeply] = x, seen[name]

    handles = [
        model.get_submodule(name.removesuffix(_WEIGHT)).register_forward_pre_hook(
            lambda _, arguments, name=name: look(name, arguments[0])
        )
        for name in layers
    ]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def replaced(model: nn.Module, weights: Mapping[str, Floats]) -> Iterator[None]:
    """The network with other values in some of its weights, while within."""
    import torch

    parameters = {name: model.get_parameter(name) for name in weights}
    before = {name: parameter.data for name, parameter in parameters.items()}
    try:
        for name, parameter in parameters.items():
            parameter.data = torch.from_numpy(weights[name]).to(before[name].dtype)
        yield
    finally:
        for name, parameter in parameters.items():
            parameter.data = before[name]


def range_between(low: float, high: float) -> InputRange:
    """The finest 256 values from `low` to `high`; zero is one of them, so that it stays zero."""
    low, high = min(low, 0.0), max(high, 0.0)
    scale = float(np.float32((high - low) / 255)) or 1.0
    return InputRange(scale, int(np.clip(round(-128 - low / scale), -128, 127)))


def smooth(
    tensors: MutableMapping[str, Floats], seen: MutableMapping[str, Inputs], places: Iterable[Fold]
) -> None:
    """Make the channels of inputs alike, in the weights and in what was seen of them.

    tensors: weights and norms by name, changed where a fold is applied; only folds whose readers
    have all been seen are.
    """
    for fold in places:
        if not all(name in seen for name in fold.readers):
            continue
        scales = smoothing_scales(tensors, seen, fold)
        fold.apply(tensors, scales)
        columns = fold.spread(scales)
        divided: dict[int, Inputs] = {}
        for name in fold.readers:
            inputs = seen[name]
            seen[name] = divided.setdefault(id(inputs), inputs.divided(columns))


def smoothing_scales(
    tensors: Mapping[str, Floats], seen: Mapping[str, Inputs], fold: Fold
) -> Floats:
    """What to divide each channel of a fold by, (C,): large where inputs are, small where weights.

    s = peak(x) ** a / peak(w) ** (1 - a), as SmoothQuant has it, around a geometric mean of 1.
    """
    inputs = fold.gather(seen[fold.readers[0]].peaks)  # (C,)
    weights = [np.abs(tensors[name]).max(0) for name in fold.readers]  # (C * repeats,) each
    largest = fold.gather(np.max(weights, axis=0).astype(np.float32))  # (C,)
    logs = SMOOTHING * np.log(np.maximum(inputs, 1e-5))
    logs -= (1 - SMOOTHING) * np.log(np.maximum(largest, 1e-5))
    logs -= logs.mean()
    limit = np.log(MOST_SCALED)
    return np.exp(np.clip(logs, -limit, limit)).astype(np.float32)
