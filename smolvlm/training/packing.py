"""Which samples of a step go through the network together.

A step's samples are cut into groups of at most so many tokens, padding counted where the layout
pads. Neighbours in length stand together, so that little is padded (in packed rows, only inside the
attention). The groups depend on the lengths alone; the loss of a step does not depend on them.
"""

from __future__ import annotations

from collections.abc import Sequence

from smolvlm.training.stages import Layout


def group(lengths: Sequence[int], layout: Layout, *, max_tokens: int | None) -> list[list[int]]:
    """Indices of samples, group by group, longest first; None puts all into one group.

    A sample longer than `max_tokens` has a group to itself.
    """
    order = sorted(range(len(lengths)), key=lambda index: (-lengths[index], index))
    if max_tokens is None:
        return [order] if order else []
    groups: list[list[int]] = []
    used = 0
    for index in order:
        # Longest first: the first of a padded group says how wide all of its rows are.
        own = lengths[index] if layout == "packed" or not groups else lengths[groups[-1][0]]
        if not groups or used + own > max_tokens:
            groups.append([])
            own, used = lengths[index], 0
        groups[-1].append(index)
        used += own
    return groups
