"""Routes: for each frame type and place, the chain of steps that a frame takes, computed once.

A pipeline becomes a tree of places: a `Row` of nodes and blocks, each `Block` with a row per branch. From a node and a
direction a route collects the steps of whoever takes the type; all others are not in it and cost nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from .frames import EndFrame, Frame, Stream
from .processor import Handler, Result

if TYPE_CHECKING:
    from .engine import Engine
    from .node import Node

__all__ = ["Block", "Route", "Routes", "Row", "Step"]

Act = Callable[[Frame], Result]


class Step:
    """One call on the way of a frame. `fn` returns what goes on; the frame itself means: untouched."""

    __slots__ = ("fn", "handler", "new", "node")

    def __init__(self, fn: Act, node: Node, handler: str, new: Routes) -> None:
        self.fn = fn
        self.node = node
        self.handler = handler
        self.new = new  # where another frame that `fn` returns goes on


class Route:
    """The steps for one type from one place on."""

    __slots__ = ("mortal", "steps", "urgent")

    def __init__(self, steps: tuple[Step, ...], mortal: bool, urgent: bool = False) -> None:
        self.steps = steps
        self.mortal = mortal
        self.urgent = urgent


class Routes(dict[type[Frame], Route]):
    """The routes from one place, built when a type first comes by."""

    __slots__ = ("_build",)

    def __init__(self, build: Callable[[type[Frame]], Route]) -> None:
        super().__init__()
        self._build = build

    def __missing__(self, frame_type: type[Frame]) -> Route:
        route = self[frame_type] = self._build(frame_type)
        return route


class Row:
    """Places in order: the pipeline itself, or a branch of a block."""

    __slots__ = ("block", "places")

    def __init__(self, block: Block | None) -> None:
        self.places: list[Node | Block] = []
        self.block = block


class Block:
    """A `Parallel` in a pipeline."""

    __slots__ = ("_entered", "branches", "index", "row")

    #: How many frames may be under way in several branches before the oldest is forgotten, and could leave again.
    MEMORY = 1024

    def __init__(self, row: Row, index: int) -> None:
        self.row = row
        self.index = index
        self.branches: list[Row] = []
        # Frames that entered several branches: id -> [frame, branches still to arrive, has it left]. Holding the frame
        # keeps its id from being given to another.
        self._entered: dict[int, list[object]] = {}

    def enter(self, frame: Frame, branches: int) -> None:
        entered = self._entered
        if len(entered) >= self.MEMORY:
            del entered[next(iter(entered))]
        entered[id(frame)] = [frame, branches, False]

    def leave(self, frame: Frame) -> Frame | None:
        """The frame, if it goes on from the block now: data with the first branch, control frames with the last."""
        entry = self._entered.get(id(frame))
        if entry is None or entry[0] is not frame:
            return frame
        left = int(entry[1]) - 1  # type: ignore[call-overload]
        entry[1] = left
        if not left:
            del self._entered[id(frame)]
        if frame.stream == Stream.CONTROL:
            return None if left else frame
        if entry[2]:
            return None
        entry[2] = True
        return frame

    def forget(self, frame: Frame) -> None:
        self._entered.pop(id(frame), None)

    def nodes(self) -> Iterator[Node]:
        for branch in self.branches:
            yield from nodes_of(branch)


def nodes_of(row: Row) -> Iterator[Node]:
    """All nodes of a row in order, branches one after the other."""
    for place in row.places:
        if isinstance(place, Block):
            yield from place.nodes()
        else:
            yield place


def route_after(engine: Engine, node: Node, frame_type: type[Frame], upstream: bool) -> Route:
    """The route of a frame that leaves `node`."""
    return Route(tuple(_after(engine, node.row, node.index, frame_type, upstream)), frame_type.mortal)


def _after(engine: Engine, row: Row, index: int, frame_type: type[Frame], upstream: bool) -> list[Step]:
    places = row.places[:index][::-1] if upstream else row.places[index + 1 :]
    steps, forked = _through(engine, places, frame_type, upstream)
    if forked:
        return steps
    if row.block is None:
        if not upstream and issubclass(frame_type, EndFrame):
            steps.append(Step(engine.end_arrived, engine.nodes[-1], "end", engine.nodes[-1].down))
        return steps
    block = row.block
    if len(_concerned(engine, block, frame_type, upstream)) > 1:
        steps.append(_exit(engine, block, frame_type))
    return steps + _after(engine, block.row, block.index, frame_type, upstream)


def _through(
    engine: Engine, places: list[Node | Block], frame_type: type[Frame], upstream: bool
) -> tuple[list[Step], bool]:
    """The steps through `places`, and whether they end in a fork, behind which each branch has the rest of the way."""
    steps: list[Step] = []
    for place in places:
        if not isinstance(place, Block):
            steps += node_steps(place, frame_type, upstream)
            continue
        concerned = _concerned(engine, place, frame_type, upstream)
        for branch in place.branches:
            if branch not in concerned:  # whoever only looks looks, and the frame does not enter
                steps += _through(engine, _inside(branch, upstream), frame_type, upstream)[0]
        if len(concerned) == 1:
            inner, forked = _through(engine, _inside(concerned[0], upstream), frame_type, upstream)
            steps += inner
            if forked:
                return steps, True
        elif concerned:
            steps.append(_fork(engine, place, concerned, frame_type, upstream))
            return steps, True
    return steps, False


def _inside(branch: Row, upstream: bool) -> list[Node | Block]:
    return branch.places[::-1] if upstream else branch.places


def _concerned(engine: Engine, block: Block, frame_type: type[Frame], upstream: bool) -> list[Row]:
    """The branches that take the type, or may hold earlier frames of its stream."""
    return [
        branch
        for branch in block.branches
        if any(_concerns(node, frame_type, upstream) for node in nodes_of(branch))
    ]


def _concerns(node: Node, frame_type: type[Frame], upstream: bool) -> bool:
    return (
        frame_type.stream == Stream.CONTROL
        or node.table.find(frame_type, upstream=upstream, observes=False) is not None
        or node.may_hold(frame_type.stream)
    )


def _fork(engine: Engine, block: Block, branches: list[Row], frame_type: type[Frame], upstream: bool) -> Step:
    rest = _after(engine, block.row, block.index, frame_type, upstream)
    leave = _exit(engine, block, frame_type)
    routes: list[Routes] = []
    for branch in branches:
        steps, forked = _through(engine, _inside(branch, upstream), frame_type, upstream)
        if not forked:
            steps = [*steps, leave, *rest]
        route = Route(tuple(steps), frame_type.mortal)
        routes.append(Routes(lambda _, route=route: route))  # type: ignore[misc]
    first = next(nodes_of(branches[0]))
    dispatcher = engine.dispatcher
    # When all branches are through and none has a mailbox that may still hold the frame, the block need not remember it.
    if any(node.lane is not None or node.table.has_async for node in block.nodes()):
        forget = None
    else:
        forget = Routes(lambda _: Route((Step(lambda frame: block.forget(frame), first, "leave", first.down),), False))

    def fork(frame: Frame) -> None:
        block.enter(frame, len(routes))
        for route in routes:
            dispatcher.pushed.append((frame, route, first))
        if forget is not None:
            dispatcher.pushed.append((frame, forget, first))

    return Step(fork, first, "fork", first.down)


def _exit(engine: Engine, block: Block, frame_type: type[Frame]) -> Step:
    node = next(block.nodes())
    return Step(block.leave, node, "leave", node.down)


def node_steps(node: Node, frame_type: type[Frame], upstream: bool, *, inside: bool = False) -> list[Step]:
    """What happens to a frame of this type at one node.

    `inside` is for a frame that has waited in the node's mailbox: it is its turn, and it was looked at on arrival.
    """
    new = node.up if upstream else node.down
    steps: list[Step] = []
    observer = node.table.find(frame_type, upstream=upstream, observes=True)
    if observer is not None and not inside:
        steps.append(Step(node.observing(observer), node, observer.name, new))
    handler = node.table.find(frame_type, upstream=upstream, observes=False)
    if frame_type.stream == Stream.CONTROL:
        visit = node.visit_of(handler)
        act = visit if inside else node.control_of(handler, visit, ends=issubclass(frame_type, EndFrame))
        steps.append(Step(act, node, handler.name if handler else "control", new))
    elif handler is not None:
        steps.append(Step(_act(node, handler, upstream, inside), node, handler.name, new))
    elif not inside and node.may_hold(frame_type.stream):
        steps.append(Step(node.gate_of(frame_type.stream, upstream), node, "gate", new))
    return steps


def _act(node: Node, handler: Handler, upstream: bool, inside: bool) -> Act:
    if inside:
        return node.counted(handler, getattr(node.proc, handler.name))
    lane = node.lane
    if handler.is_async:
        return node.queue_of(upstream)
    fn = node.counted(handler, getattr(node.proc, handler.name))
    if lane is None or (handler.concurrent and node.ready):
        return fn
    return node.line_of(fn, upstream)
