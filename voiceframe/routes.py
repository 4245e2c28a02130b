"""Routes: for each frame type and place, the chain of steps that a frame takes, computed once.

A pipeline becomes a tree of places: a `Row` of nodes and blocks, each `Block` with a row per branch. From a node and a
direction a route collects the steps of whoever takes the type; all others are not in it and cost nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from .frames import EndFrame, Frame, StartFrame, Stream
from .processor import Handler, Result

if TYPE_CHECKING:
    from .engine import Engine
    from .node import Node

__all__ = ["Block", "Route", "Routes", "Row", "Step"]

Act = Callable[[Frame], Result]


class Step:
    """One call on the way of a frame. `fn` returns what goes on; the frame itself means: untouched."""

    __slots__ = ("by", "fn", "guard", "handler", "new", "node")

    def __init__(
        self, fn: Act, node: Node, handler: str, new: Routes, *, by: Node | None = None, guard: bool = False
    ) -> None:
        self.fn = fn
        self.node = node  # whom an exception is reported of
        self.handler = handler
        self.new = new  # where another frame that `fn` returns goes on
        self.by = by  # the node that such a frame is made at: it stays behind what was made there before
        self.guard = guard


class Route:
    """The steps for one type from one place on.

    `guarded` has one step more behind each node: the guard, where a frame waits behind those that were pushed from that
    node and are still in the ready queue. Only when there are such frames in the call is that way taken.
    """

    __slots__ = ("_rests", "guarded", "mortal", "special", "steps")

    def __init__(
        self, steps: Iterable[Step], mortal: bool = False, special: Callable[[Any], object] | None = None
    ) -> None:
        self.guarded = tuple(steps)
        self.steps = tuple([step for step in self.guarded if not step.guard])
        self.mortal = mortal
        #: What is to be done with a frame that goes no way like others: a sweep, or an error.
        self.special = special
        self._rests: dict[Step, Route] | None = None

    def rest(self, step: Step) -> Route:
        """The route behind one of its steps."""
        rests = self._rests
        if rests is None:
            rests = self._rests = {}
        rest = rests.get(step)
        if rest is None:
            rest = rests[step] = Route(self.guarded[self.guarded.index(step) + 1 :], self.mortal)
        return rest


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


class _Entered:
    """A frame that has entered several branches of a block. Holding it keeps its id from being given to another."""

    __slots__ = ("frame", "has_left", "outside")

    def __init__(self, frame: Frame, branches: int) -> None:
        self.frame = frame
        self.outside = branches  # branches from which it has not come
        self.has_left = False


class Block:
    """A `Parallel` in a pipeline."""

    __slots__ = ("_control", "_data", "branches", "index", "row")

    #: How many frames may be under way in several branches before the oldest is forgotten, and could leave again.
    MEMORY = 1024

    def __init__(self, row: Row, index: int) -> None:
        self.row = row
        self.index = index
        self.branches: list[Row] = []
        self._data: dict[int, _Entered] = {}
        # Never forgotten: each of these comes out of every branch.
        self._control: dict[int, _Entered] = {}

    def enter(self, frame: Frame, branches: int) -> None:
        entered = self._data
        if len(entered) >= self.MEMORY:
            del entered[next(iter(entered))]
        entered[id(frame)] = _Entered(frame, branches)

    def enter_control(self, frame: Frame, branches: int) -> None:
        self._control[id(frame)] = _Entered(frame, branches)

    def leave(self, frame: Frame) -> Frame | None:
        """Data: the frame if it goes on from the block now, as it does from the first branch that lets it through."""
        entry = self._data.get(id(frame))
        if entry is None:
            return frame
        entry.outside -= 1
        if not entry.outside:
            del self._data[id(frame)]
        if entry.has_left:
            return None
        entry.has_left = True
        return frame

    def leave_control(self, frame: Frame) -> Frame | None:
        """Control frames: the frame if it goes on from the block now, as it does behind the last branch."""
        entry = self._control.get(id(frame))
        if entry is None:
            return frame
        entry.outside -= 1
        if entry.outside:
            return None
        del self._control[id(frame)]
        return frame

    def forget(self, frame: Frame) -> None:
        """The frame is in no branch any more."""
        self._data.pop(id(frame), None)

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
    return Route(_after(engine, node.row, node.index, frame_type, upstream), frame_type.mortal)


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
        steps.append(_exit(block, frame_type))
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
        guards: list[Step] = []
        for branch in place.branches:
            if branch not in concerned:  # whoever only looks looks, and the frame does not enter
                for step in _through(engine, _inside(branch, upstream), frame_type, upstream)[0]:
                    (guards if step.guard else steps).append(step)
        if not concerned:
            steps += guards
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
        branch for branch in block.branches if any(_concerns(node, frame_type, upstream) for node in nodes_of(branch))
    ]


def _concerns(node: Node, frame_type: type[Frame], upstream: bool) -> bool:
    return (
        frame_type.stream == Stream.CONTROL
        or node.table.find(frame_type, upstream=upstream, observes=False) is not None
        or node.may_hold(frame_type.stream, upstream)
    )


def _fork(engine: Engine, block: Block, branches: list[Row], frame_type: type[Frame], upstream: bool) -> Step:
    rest = _after(engine, block.row, block.index, frame_type, upstream)
    leave = _exit(block, frame_type)
    first = next(nodes_of(branches[0]))
    dispatcher = engine.dispatcher
    control = frame_type.stream == Stream.CONTROL
    routes: list[Route] = []
    for branch in branches:
        steps, forked = _through(engine, _inside(branch, upstream), frame_type, upstream)
        if not forked:
            steps = [*steps, leave, *rest]
        routes.append(Route(steps, frame_type.mortal))
    # When all branches are through and none has a mailbox that may hold the frame, the block need not remember it.
    if not control and all(node.lane is None for node in block.nodes()):

        def forget(frame: Frame) -> None:
            if not dispatcher.anyone_waits:
                block.forget(frame)

        routes.append(Route([Step(forget, first, "leave", first.down)]))
    enter = block.enter_control if control else block.enter
    count = len(branches)

    def fork(frame: Frame) -> None:
        enter(frame, count)
        for route in routes:
            dispatcher.pushed.append((frame, route, None))

    return Step(fork, first, "fork", first.down)


def fixed(route: Route) -> Routes:
    """Routes that have this one for every type."""
    return Routes(lambda _: route)


def _exit(block: Block, frame_type: type[Frame]) -> Step:
    node = next(block.nodes())
    leave = block.leave_control if frame_type.stream == Stream.CONTROL else block.leave
    return Step(leave, node, "leave", node.down)


def node_steps(node: Node, frame_type: type[Frame], upstream: bool, *, inside: bool = False) -> list[Step]:
    """What happens to a frame of this type at one node.

    `inside` is for a frame that has waited in the node's mailbox: it is its turn, and it was looked at on arrival.
    """
    new = node.up if upstream else node.down
    steps: list[Step] = []
    observer = node.table.find(frame_type, upstream=upstream, observes=True)
    if observer is not None and not inside:
        steps.append(Step(node.observing(observer), node, observer.name, new, by=node))
    handler = node.table.find(frame_type, upstream=upstream, observes=False)
    name = handler.name if handler else "control"
    if frame_type.stream == Stream.CONTROL:
        if issubclass(frame_type, StartFrame):
            act = node.start_of(handler)
        else:
            act = node.control_of(handler, ends=issubclass(frame_type, EndFrame))
        steps.append(Step(act, node, name, new, by=node))
    elif handler is not None:
        steps.append(Step(_act(node, handler, upstream, inside), node, name, new, by=node))
    elif not inside and node.may_hold(frame_type.stream, upstream):
        steps.append(Step(node.gate_of(frame_type.stream, upstream), node, "gate", new, by=node))
    if not node.is_source and not issubclass(frame_type, StartFrame):
        steps.append(node.guard(upstream))
    return steps


def _act(node: Node, handler: Handler, upstream: bool, inside: bool) -> Act:
    fn: Act = getattr(node.proc, handler.name)
    if inside:
        return node.counted(handler, fn)
    if handler.is_async:
        return node.queue_of(upstream)
    if node.lane is None:
        return node.counted(handler, fn)
    if handler.concurrent:
        return node.aside_of(node.counted(handler, fn), upstream)
    return node.line_of(node.counted(handler, fn), upstream)
