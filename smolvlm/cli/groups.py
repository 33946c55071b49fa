"""Options that several commands share, as one parameter of each.

    @takes(load=ENGINE | SOURCE, generation=ANSWER)
    def ask(picture: flags.Picture, *, load: Given, generation: Given) -> None: ...

The command line shows every option of a group; the command gets those that were given, as keywords
of whoever takes them. What the options mean is in `flags.py`. Imported by `--help`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, get_type_hints

from smolvlm.cli import flags, flags_speed

Given = Mapping[str, Any]
Group = Mapping[str, Any]  # keyword -> the annotation of its option

ENGINE: Group = {
    "engine": flags.Engine, "precision": flags.Precision, "threads": flags.Threads
}  # fmt: skip
SOURCE: Group = {"offline": flags.Offline, "revision": flags.Revision}
URLS: Group = {"allow_urls": flags.AllowUrl}
ANSWER: Group = {
    "max_new_tokens": flags.MaxNewTokens, "temperature": flags.Temperature, "top_k": flags.TopK,
    "top_p": flags.TopP, "min_p": flags.MinP, "repetition_penalty": flags.RepetitionPenalty,
    "seed": flags.Seed, "stop": flags.Stop, "lookup": flags_speed.Lookup,
    "keep_repeating": flags_speed.KeepRepeating,
}  # fmt: skip
SPLITTING: Group = {
    "max_tiles": flags.MaxTiles, "max_visual_tokens": flags.MaxVisualTokens,
    "policy": flags.Policy, "budget": flags_speed.Budget,
}  # fmt: skip
CACHES: Group = {
    "feature_cache": flags_speed.FeatureCache, "prefix_cache": flags_speed.PrefixCache,
    "disk_cache": flags_speed.DiskCache, "disk_cache_limit": flags_speed.DiskCacheLimit,
}  # fmt: skip
SAMPLING: Group = {
    "max_frames": flags.Frames, "fps": flags.Fps, "start": flags.Start, "end": flags.End,
    "sampling": flags.Sampling, "rate": flags.Rate,
}  # fmt: skip


def takes(**groups: Group) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """A command whose parameters of these names are groups of options."""

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        def run(**values: Any) -> None:
            gathered = {
                name: flags.given(**{option: values.pop(option) for option in group})
                for name, group in groups.items()
            }
            command(**values, **gathered)

        hints = get_type_hints(command, include_extras=True)
        own = inspect.signature(command).parameters.values()
        shown = [p.replace(annotation=hints[p.name]) for p in own if p.name not in groups]
        shared = {name: option for group in groups.values() for name, option in group.items()}
        shown += [_parameter(name, option) for name, option in shared.items()]
        run.__name__, run.__doc__ = command.__name__, command.__doc__
        run.__signature__ = inspect.Signature(shown)  # type: ignore[attr-defined]
        run.__annotations__ = {parameter.name: parameter.annotation for parameter in shown}
        return run

    return decorate


def _parameter(name: str, option: Any) -> inspect.Parameter:
    """An option that was not given is None, a switch False."""
    default = False if option.__origin__ is bool else None
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=option
    )
