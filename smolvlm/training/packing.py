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
    if layout == "packed":
        return _first_fit(order, lengths, max_tokens)
    groups: list[list[int]] = []
    for index in order:
        # Longest first: the first of a group says how wide all of its rows are.
        if not groups or (len(groups[-1]) + 1) * lengths[groups[-1][0]] > max_tokens:
            groups.append([])
        groups[-1].append(index)
    return groups


def _first_fit(order: Sequence[int], lengths: Sequence[int], room: int) -> list[list[int]]:
    """Each sample into the first group that still has room: at most 11/9 of the fewest groups."""
    groups: list[list[int]] = []
    free: list[int] = []
    for index in order:
        at = next((g for g, left in enumerate(free) if left >= lengths[index]), len(groups))
        if at == len(groups):
            groups.append([])
            free.append(room)
        groups[at].append(index)
        free[at] -= lengths[index]
    return groups
