"""Which matrix of a model is stored how: a plan, as data.

A plan is a list of patterns with a scheme each, in a file or from the table of presets; the first
pattern that fits a layer decides, and a layer that none fits stays as it is. Only matrices can be
quantised: linear layers, the token table and the head. Rounding is left to others.
"""

from __future__ import annotations

import difflib
import fnmatch
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from smolvlm.config import read_json
from smolvlm.errors import InputError, UnknownNameError
from smolvlm.quant.schemes import Scheme
from smolvlm.weights.names import EMBEDDING, HEAD, Shape

KEEP = "keep"
_WEIGHT = ".weight"
_POSITIONS = "position_embedding"
TABLE, HEAD_LAYER = EMBEDDING.removesuffix(_WEIGHT), HEAD.removesuffix(_WEIGHT)


@dataclass(frozen=True)
class Plan:
    """Patterns of layer names (as `fnmatch` reads them) and schemes; None keeps a layer.

    A layer's name is that of its weight without `.weight`, such as
    `text_model.layers.3.mlp.up_proj`.
    """

    rules: tuple[tuple[str, Scheme | None], ...]

    @classmethod
    def from_file(cls, path: Path, shapes: Mapping[str, Shape]) -> Plan:
        """Read `{"layers": {PATTERN: SCHEME or "keep"}}`, JSON or YAML, for these shapes.

        Errors name the file: no such scheme, a pattern that fits no layer, or none at all.
        """
        if not path.is_file():
            raise InputError(
                f"there is no plan {str(path)!r}; give {', '.join(PRESETS)}, auto, or a YAML or"
                " JSON file"
            )
        layers = _read(path).get("layers")
        if not isinstance(layers, Mapping) or not layers:
            raise InputError(
                f'{path} has no layers; wanted {{"layers": {{"text_model.*": "int8"}}}}'
            )
        names = quantizable(shapes)
        for pattern in layers:
            if not fnmatch.filter(names, pattern):
                raise InputError(f"{path}: {pattern!r} fits no layer; {_nearest(pattern, names)}")
        try:
            return cls(tuple((pattern, _scheme(value)) for pattern, value in layers.items()))
        except UnknownNameError as error:
            raise UnknownNameError(f"{path}: {error}") from None

    def to_json(self) -> str:
        """A text that `from_file` reads."""
        layers = {pattern: str(scheme or KEEP) for pattern, scheme in self.rules}
        return json.dumps({"layers": layers}, indent=1) + "\n"

    def resolve(self, shapes: Mapping[str, Shape]) -> dict[str, Scheme]:
        """The scheme of every matrix that is to be quantised, by the name of its weight.

        shapes: those of a checkpoint. `InputError` for groups that do not divide a layer's columns.
        """
        layers = quantizable(shapes)
        chosen = {weight: self._choose(layer) for layer, weight in layers.items()}
        for weight, scheme in chosen.items():
            if scheme is not None and not scheme.fits(shapes[weight]):
                raise InputError(
                    f"{weight} has {shapes[weight][1]} columns, which {scheme} cannot cut into "
                    f"groups of {scheme.group}; give it int8 or another group"
                )
        return {weight: scheme for weight, scheme in chosen.items() if scheme is not None}

    def _choose(self, layer: str) -> Scheme | None:
        fitting = (scheme for pattern, scheme in self.rules if fnmatch.fnmatchcase(layer, pattern))
        return next(fitting, None)


def quantizable(shapes: Mapping[str, Shape]) -> dict[str, str]:
    """The layers that can be quantised -> their weights, in the order of the checkpoint."""
    return {
        name.removesuffix(_WEIGHT): name
        for name, shape in shapes.items()
        if name.endswith(_WEIGHT) and len(shape) == 2 and _POSITIONS not in name
    }


def _read(path: Path) -> Mapping[str, object]:
    """What a plan file holds; YAML unless its name says JSON."""
    if path.suffix.lower() == ".json":
        return read_json(path)
    try:
        import yaml
    except ImportError:
        raise InputError(
            f"{path} is YAML, which needs pip install pyyaml; or write the plan as a .json file"
        ) from None
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not YAML: {' '.join(str(error).split())}") from None
    return data if isinstance(data, Mapping) else {}


def _nearest(pattern: str, layers: Iterable[str]) -> str:
    """Which layer was perhaps meant."""
    near = difflib.get_close_matches(str(pattern), list(layers), n=1, cutoff=0.0)
    return f"the nearest is {near[0]}"


def _scheme(value: object) -> Scheme | None:
    if value == KEEP:
        return None
    try:
        return Scheme.parse(str(value))
    except UnknownNameError as error:
        raise UnknownNameError(f"{error}; or {KEEP}") from None


def _preset(text: str, tower: str) -> Plan:
    """One scheme for the language model's layers, one for the tower's, 8 bits for words."""
    named = {
        TABLE: "int8",
        "lm_head*": "int8",
        "text_model.layers.*": text,
        # What attention puts out is in 16 bits: to round it takes as long as the product saves.
        "vision_model.*.out_proj": KEEP,
        "vision_model.*": tower,
        "connector.*": KEEP,  # one layer that everything seen goes through
    }
    return Plan(tuple((pattern, _scheme(name)) for pattern, name in named.items()))


# 4 bits cost a small model more than they save on its table and head: those stay at 8.
PRESETS: Mapping[str, Plan] = {
    "int8": _preset("int8", "int8-inputs"),
    "int4": _preset("int4-64", "int8-inputs"),
}
# What an engine does by itself when it is asked for the precision: nothing that needs pictures.
LOADED: Mapping[str, Plan] = {
    "int8": _preset("int8", KEEP),
    "int4": _preset("int4-64", KEEP),
}
