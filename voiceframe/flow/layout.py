"""Where the nodes of a picture stand: in layers from top to bottom, with few crossings.

After K. Sugiyama, S. Tagawa and M. Toda, "Methods for visual understanding of hierarchical system structures" (1981):
circles are cut, nodes get layers, ways over several layers get a point in each, the order in the layers is improved by
barycentres, and then the nodes are pulled towards their neighbours. The label of a way stands in a layer of its own.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final

__all__ = ["Box", "Edge", "Layout", "lay_out"]

_GAP_X: Final = 26.0
_GAP_Y: Final = 28.0
_POINT: Final = 8.0  # the width of a way between two layers
_SWEEPS: Final = 12
_PULLS: Final = 24


@dataclass
class Box:
    """Something that stands in a layer; `x` and `y` are its centre."""

    width: float
    height: float
    layer: int = 0
    x: float = 0.0
    y: float = 0.0


@dataclass
class Edge:
    """A way between two nodes, with its label as a box (of no size for none) and its points from end to end."""

    source: str
    to: str
    label: Box | None = None
    points: list[tuple[float, float]] = field(default_factory=list)


@dataclass
class Layout:
    """What came of it, in pixels."""

    boxes: dict[str, Box]
    edges: list[Edge]
    width: float
    height: float


_Key = Hashable


def lay_out(boxes: Mapping[str, Box], edges: Sequence[Edge], start: str) -> Layout:
    """Place the boxes and route the edges, of which none leads from a box to itself."""
    work = _Work(dict(boxes), list(edges))
    work.layer(start)
    work.chain()
    work.order()
    work.place()
    return work.finished()


class _Work:
    def __init__(self, boxes: dict[str, Box], edges: list[Edge]) -> None:
        self._nodes = boxes
        self._edges = edges
        self._back: set[int] = set()
        self._all: dict[_Key, Box] = {}
        self._all.update(boxes)
        self._layers: list[list[_Key]] = []
        self._up: dict[_Key, list[_Key]] = defaultdict(list)
        self._down: dict[_Key, list[_Key]] = defaultdict(list)
        self._chains: dict[int, list[_Key]] = {}

    # -- layers

    def layer(self, start: str) -> None:
        outgoing: dict[str, list[int]] = defaultdict(list)
        for number, edge in enumerate(self._edges):
            outgoing[edge.source].append(number)
        done: set[str] = set()
        order: list[str] = []
        for root in [start, *self._nodes]:
            self._walk(root, outgoing, done, order)
        for name in reversed(order):  # each after all that lead to it
            for number in outgoing[name]:
                if number not in self._back:
                    box = self._nodes[self._edges[number].to]
                    # A layer of nodes, then one of labels.
                    box.layer = max(box.layer, self._nodes[name].layer + 2)

    def _walk(self, root: str, outgoing: Mapping[str, list[int]], done: set[str], order: list[str]) -> None:
        """Depth first, without recursion; an edge to what is being walked closes a circle."""
        if root in done:
            return
        done.add(root)
        active = {root}
        stack = [(root, iter(outgoing[root]))]
        while stack:
            name, rest = stack[-1]
            number = next(rest, None)
            if number is None:
                stack.pop()
                active.discard(name)
                order.append(name)
                continue
            to = self._edges[number].to
            if to in active:
                self._back.add(number)
            elif to not in done:
                done.add(to)
                active.add(to)
                stack.append((to, iter(outgoing[to])))

    # -- ways over several layers

    def chain(self) -> None:
        for number, edge in enumerate(self._edges):
            upper, lower = edge.source, edge.to
            if number in self._back:
                upper, lower = lower, upper
            top, bottom = self._nodes[upper].layer, self._nodes[lower].layer
            keys: list[_Key] = [upper]
            # The label stands near the node that the way leaves.
            labelled = top + 1 if number not in self._back else bottom - 1
            for layer in range(top + 1, bottom):
                key: _Key = (number, layer)
                if layer == labelled and edge.label is not None:
                    box = edge.label
                    box.layer = layer
                else:
                    box = Box(_POINT, 0.0, layer)
                self._all[key] = box
                keys.append(key)
            keys.append(lower)
            self._chains[number] = keys
            for one, other in pairwise(keys):
                self._down[one].append(other)
                self._up[other].append(one)

    # -- the order in the layers

    def order(self) -> None:
        count = max((box.layer for box in self._all.values()), default=0) + 1
        layers: list[list[_Key]] = [[] for _ in range(count)]
        for key, box in self._all.items():
            layers[box.layer].append(key)
        best, fewest = [list(layer) for layer in layers], _crossings(layers, self._down)
        for sweep in range(_SWEEPS):
            downwards = sweep % 2 == 0
            neighbours = self._up if downwards else self._down
            turns = range(1, count) if downwards else range(count - 2, -1, -1)
            for at in turns:
                fixed = {key: place for place, key in enumerate(layers[at - 1 if downwards else at + 1])}
                here = {key: place for place, key in enumerate(layers[at])}
                layers[at].sort(key=lambda key: _mean([fixed[k] for k in neighbours[key] if k in fixed], here[key]))
            crossings = _crossings(layers, self._down)
            if crossings < fewest:
                best, fewest = [list(layer) for layer in layers], crossings
        self._layers = best

    # -- coordinates

    def place(self) -> None:
        y = 0.0
        for layer in self._layers:
            height = max((self._all[key].height for key in layer), default=0.0)
            y += height / 2 if not y else height / 2 + _GAP_Y
            x = 0.0
            for key in layer:
                box = self._all[key]
                box.y = y
                box.x = x + box.width / 2
                x += box.width + _GAP_X
            y += height / 2
        for pull in range(_PULLS):
            layers = self._layers if pull % 2 == 0 else self._layers[::-1]
            neighbours = self._up if pull % 2 == 0 else self._down
            for layer in layers:
                self._pull(layer, neighbours if pull < _PULLS - 2 else None)

    def _pull(self, layer: list[_Key], neighbours: Mapping[_Key, list[_Key]] | None) -> None:
        """Move each box of a layer towards what it is joined to, as far as the others let it."""
        wanted: list[float] = []
        for key in layer:
            near = neighbours[key] if neighbours is not None else [*self._up[key], *self._down[key]]
            wanted.append(_mean([self._all[other].x for other in near], self._all[key].x))
        # Blocks of boxes that touch, each where its members want to be on average.
        blocks: list[tuple[float, float, int, list[tuple[_Key, float]]]] = []
        for key, want in zip(layer, wanted, strict=True):
            width = self._all[key].width
            blocks.append((want - width / 2, width, 1, [(key, 0.0)]))
            while len(blocks) > 1 and blocks[-2][0] + blocks[-2][1] + _GAP_X > blocks[-1][0]:
                left, right = blocks[-2], blocks[-1]
                shift = left[1] + _GAP_X
                begin = (left[0] * left[2] + (right[0] - shift) * right[2]) / (left[2] + right[2])
                members = [*left[3], *((member, offset + shift) for member, offset in right[3])]
                blocks[-2:] = [(begin, shift + right[1], left[2] + right[2], members)]
        for begin, _, _, members in blocks:
            for key, offset in members:
                box = self._all[key]
                box.x = begin + offset + box.width / 2

    # -- the end

    def finished(self) -> Layout:
        left = min((box.x - box.width / 2 for box in self._all.values()), default=0.0)
        for box in self._all.values():
            box.x -= left
        self._route()
        width = max((box.x + box.width / 2 for box in self._all.values()), default=0.0)
        height = max((box.y + box.height / 2 for box in self._all.values()), default=0.0)
        return Layout(self._nodes, self._edges, width, height)

    def _route(self) -> None:
        leaving = self._ports(self._down)
        arriving = self._ports(self._up)
        for number, edge in enumerate(self._edges):
            keys = self._chains[number]
            upper, lower = self._all[keys[0]], self._all[keys[-1]]
            first, last = keys[1], keys[-2]
            points = [(upper.x + leaving[keys[0], first], upper.y + upper.height / 2)]
            for key in keys[1:-1]:
                box = self._all[key]
                points += [(box.x, box.y - box.height / 2), (box.x, box.y + box.height / 2)][: 2 if box.height else 1]
            points.append((lower.x + arriving[keys[-1], last], lower.y - lower.height / 2))
            edge.points = points[::-1] if number in self._back else points

    def _ports(self, neighbours: Mapping[_Key, list[_Key]]) -> dict[tuple[_Key, _Key], float]:
        """Where on the side of a node each of its ways begins, from its middle: in the order of where they lead."""
        ports: dict[tuple[_Key, _Key], float] = {}
        for name, box in self._nodes.items():
            joined = sorted(dict.fromkeys(neighbours[name]), key=lambda key: self._all[key].x)
            step = min(22.0, (box.width - 24.0) / max(1, len(joined) - 1))
            for at, key in enumerate(joined):
                ports[name, key] = (at - (len(joined) - 1) / 2) * step
        return ports


def _mean(values: Iterable[float], otherwise: float) -> float:
    found = list(values)
    return sum(found) / len(found) if found else otherwise


def _crossings(layers: Sequence[Sequence[_Key]], down: Mapping[_Key, list[_Key]]) -> int:
    """How many pairs of ways cross."""
    total = 0
    for upper, lower in pairwise(layers):
        places = {key: place for place, key in enumerate(lower)}
        ends = [sorted(places[key] for key in down[above] if key in places) for above in upper]
        seen: list[int] = []
        for group in ends:
            total += sum(1 for end in group for other in seen if other > end)
            seen += group
    return total
