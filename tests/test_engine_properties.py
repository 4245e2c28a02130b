"""The engine's promises over random pipelines and schedules.

Between any two processors stands an observer that writes down what passes. From its notes follows the order at every
hop; the handlers themselves note when they were started, and on what.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from voiceframe import Call, Observer, Parallel, Processor, handles, observes
from voiceframe.audio import PCM_8K, Audio
from voiceframe.errors import CallEnded, LinkError, ProcessorError
from voiceframe.frames import (
    Frame,
    InputAudioFrame,
    InterimTranscriptionFrame,
    InterruptionFrame,
    MessageFrame,
    PauseFrame,
    ResumeFrame,
    Stream,
    TextFrame,
    ToolResultFrame,
    TranscriptionFrame,
    UpdateSettingsFrame,
)
from voiceframe.testing.run import Rig, rig

#: `VOICEFRAME_TEST_DEPTH=40 pytest tests/test_engine_properties.py` tries so many times more examples.
DEPTH = int(os.environ.get("VOICEFRAME_TEST_DEPTH", "1"))

#: Frames of every stream that can be pushed, several types for some.
KINDS: tuple[type[Frame], ...] = (
    InputAudioFrame,
    InterimTranscriptionFrame,
    TranscriptionFrame,
    MessageFrame,
    TextFrame,
    ToolResultFrame,
)


@dataclass
class World:
    """What the processors of one example have in common."""

    numbers: int = 0
    tags: dict[int, int] = field(default_factory=dict)  # id of a frame -> its number
    kept: list[Frame] = field(default_factory=list)  # so that no id is given twice
    wrong: list[str] = field(default_factory=list)
    swept: list[tuple[int, str]] = field(default_factory=list)
    cut: set[int] = field(default_factory=set)  # frames whose handler was cancelled by a sweep
    reply: Callable[[], int] = lambda: 0

    def tag(self, frame: Frame) -> Frame:
        self.numbers += 1
        self.tags[id(frame)] = self.numbers
        self.kept.append(frame)
        return frame

    def make(self, kind: type[Frame]) -> Frame:
        if kind is InputAudioFrame:
            return self.tag(InputAudioFrame(Audio(b"\0\0", PCM_8K)))
        if kind is TextFrame:
            return self.tag(TextFrame("x", self.reply()))
        if kind is ToolResultFrame:
            return self.tag(ToolResultFrame("id"))
        if kind is MessageFrame:
            return self.tag(MessageFrame(None))
        assert kind in (TranscriptionFrame, InterimTranscriptionFrame)
        return self.tag(kind("x"))

    def start(self, processor: Processor, frame: Frame) -> None:
        """A handler begins."""
        number = self.tags.get(id(frame), 0)
        if isinstance(frame, TextFrame) and not processor.alive(frame.reply):
            self.wrong.append(f"{processor.name} began on frame {number} of dead reply {frame.reply}")


class Notes(Observer):
    """Stands between two processors."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.down: list[tuple[Stream, int]] = []
        self.up: list[tuple[Stream, int]] = []

    def note(self, where: list[tuple[Stream, int]], frame: Frame) -> None:
        number = self.world.tags.get(id(frame))
        if number is not None:
            where.append((frame.stream, number))

    @observes(Frame)
    def on_down(self, frame: Frame) -> None:
        self.note(self.down, frame)

    @observes(Frame, upstream=True)
    def on_up(self, frame: Frame) -> None:
        self.note(self.up, frame)


class Worker(Processor):
    """The base of the random processors: what a handler lets go on."""

    def __init__(self, world: World, *, style: str, nap_ms: int, index: int, says: bool, setup_ms: int) -> None:
        self.world = world
        self.style = style
        self.nap_ms = nap_ms
        self.index = index
        self.says = says
        self.setup_ms = setup_ms

    def again(self) -> Worker:
        """Another one of the same shape."""
        return type(self)(
            self.world,
            style=self.style,
            nap_ms=self.nap_ms,
            index=self.index,
            says=self.says,
            setup_ms=self.setup_ms,
        )

    def act(self, frame: Frame) -> Frame | list[Frame] | None:
        match self.style:
            case "push":
                self.push(frame)
                return None
            case "several":
                return [self.world.make(type(frame)), frame, self.world.make(type(frame))]
            case "around":
                self.push(self.world.make(type(frame)))
                return frame
            case "raise after":
                self.push(frame)
                raise ValueError("on purpose")
            case "answer upstream":
                self.push(self.world.make(type(frame)), upstream=True)
                return frame
            case _:
                return frame

    def act_up(self, frame: Frame) -> Frame | list[Frame] | None:
        self.world.start(self, frame)
        return frame

    async def act_later(self, frame: Frame) -> Frame | list[Frame] | None:
        self.world.start(self, frame)
        try:
            if self.nap_ms:
                await asyncio.sleep(self.nap_ms / 1000)
            out = self.act(frame)
            await asyncio.sleep(0)
            return out
        except asyncio.CancelledError:
            self.world.cut.add(self.world.tags[id(frame)])
            if self.style != "swallow":
                raise
            await asyncio.sleep(self.nap_ms / 1000)
            return frame

    def swept(self, frame: InterruptionFrame) -> Frame | None:
        self.world.swept.append((self.index, "swept"))
        return self.world.make(MessageFrame) if self.says else None

    def ask(self, frames: list[type[Frame]], gap_ms: int) -> None:
        self.spawn(self.task(frames, gap_ms))

    async def task(self, frames: list[type[Frame]], gap_ms: int) -> None:
        for kind in frames:
            self.push(self.world.make(kind))
            if gap_ms:
                await asyncio.sleep(gap_ms / 1000)


def worker_class(shape: Shape) -> type[Worker]:
    """A class with a handler for each of the types: handlers are declared, so each shape is a class of its own."""

    def on_frame(self: Worker, frame: Frame) -> Any:
        self.world.start(self, frame)
        return self.act(frame)

    async def on_frame_later(self: Worker, frame: Frame) -> Any:
        return await self.act_later(frame)

    def on_up(self: Worker, frame: Frame) -> Any:
        return self.act_up(frame)

    async def on_up_later(self: Worker, frame: Frame) -> Any:
        await asyncio.sleep(0.001)
        return self.act_up(frame)

    def on_interruption(self: Worker, frame: InterruptionFrame) -> Any:
        return self.swept(frame)

    async def setup(self: Worker) -> None:
        await asyncio.sleep(self.setup_ms / 1000)

    body: dict[str, Any] = {}
    if shape.later:
        body["later"] = handles(*shape.later, on_interrupt=shape.on_interrupt)(on_frame_later)
    at_once = [kind for kind in shape.at_once if kind not in shape.later]
    if at_once:
        body["at_once"] = handles(*at_once, concurrent=shape.later != [] and at_once == [InputAudioFrame])(on_frame)
    if shape.up:
        body["up"] = handles(*shape.up, upstream=True)(on_up_later if shape.up_later else on_up)
    body["interrupted"] = handles(InterruptionFrame, upstream=shape.swept_first)(on_interruption)
    if shape.setup_ms:
        body["setup"] = setup
    for name, method in body.items():  # one function would carry the mark of another class
        if name != "setup":
            copied = _copy(method)
            mark = method.__voiceframe_handler__
            mark.name = name
            copied.__voiceframe_handler__ = mark
            body[name] = copied
    return type("Worker", (Worker,), body)


def _copy(function: Any) -> Any:
    import types

    return types.FunctionType(
        function.__code__, function.__globals__, function.__name__, function.__defaults__, function.__closure__
    )


@dataclass
class Shape:
    """How one random processor is made."""

    at_once: list[type[Frame]]
    later: list[type[Frame]]
    up: list[type[Frame]]
    up_later: bool
    style: str
    nap_ms: int
    says: bool
    swept_first: bool
    on_interrupt: Any
    setup_ms: int


some_kinds = st.lists(st.sampled_from(KINDS), max_size=4, unique=True)
shapes = st.builds(
    Shape,
    at_once=some_kinds,
    later=st.one_of(st.just([]), some_kinds),
    up=some_kinds,
    up_later=st.booleans(),
    style=st.sampled_from(["return", "push", "several", "around", "raise after", "answer upstream", "swallow"]),
    nap_ms=st.sampled_from([0, 0, 1, 5, 30]),
    says=st.booleans(),
    swept_first=st.booleans(),
    on_interrupt=st.sampled_from([None, "finish", "cancel"]),
    setup_ms=st.sampled_from([0, 0, 0, 20]),
)
steps = st.one_of(
    st.tuples(st.just("push"), st.lists(st.sampled_from(KINDS), min_size=1, max_size=8)),
    st.tuples(st.just("up"), st.lists(st.sampled_from(KINDS), min_size=1, max_size=3)),
    st.tuples(
        st.just("task"),
        st.integers(0, 5),
        st.lists(st.sampled_from(KINDS), min_size=1, max_size=6),
        st.sampled_from([0, 0, 3]),
    ),
    st.tuples(st.just("jam"), st.integers(0, 5), st.lists(st.sampled_from(KINDS), min_size=1, max_size=6)),
    st.tuples(st.just("sleep"), st.sampled_from([0, 1, 7, 40])),
    st.tuples(st.just("interrupt")),
    st.tuples(st.just("replace"), st.integers(0, 5)),
    st.tuples(
        st.just("pause"),
    ),
    st.tuples(
        st.just("settings"),
    ),
    st.tuples(st.just("reply"), st.booleans()),
)


async def replace(call: Call, workers: list[Worker], index: int) -> None:
    old, new = workers[index], workers[index].again()
    await call.replace(old, new)
    workers[index] = new


async def play(world: World, call: Rig, workers: list[Worker], schedule: list[tuple[Any, ...]]) -> None:
    """Do what the schedule says, and end the call."""
    replacing: list[asyncio.Future[None]] = []
    replies = [call.call.replies.begin()]
    world.reply = lambda: replies[-1]
    for step in schedule:
        match step:
            case ("push", kinds):
                call.push(*[world.make(kind) for kind in kinds])
            case ("up", kinds):
                call.up(*[world.make(kind) for kind in kinds])
            case ("task", index, kinds, gap_ms):
                with contextlib.suppress(ProcessorError):  # it is being replaced
                    if workers:
                        workers[index % len(workers)].ask(kinds, gap_ms)
            case ("jam", index, kinds):
                # What is pushed while another call's cascade runs waits in the ready queue, whoever pushes it.
                state = call.call.engine.dispatcher.state
                state.running = object()  # type: ignore[assignment]
                try:
                    for number, kind in enumerate(kinds):
                        if workers and number % 2:
                            workers[index % len(workers)].push(world.make(kind))
                        else:
                            call.push(world.make(kind))
                finally:
                    state.running = None
            case ("sleep", ms):
                await asyncio.sleep(ms / 1000)
            case ("interrupt",):
                call.call.interrupt()
                replies.append(call.call.replies.begin())
            case ("replace", index):
                if workers:
                    replacing.append(asyncio.ensure_future(replace(call.call, workers, index % len(workers))))
                    await asyncio.sleep(0)
            case ("pause",):
                call.source.push(PauseFrame(replies[-1]))
                call.source.push(ResumeFrame(replies[-1]))
            case ("settings",):
                call.push(UpdateSettingsFrame("nobody", {}))
            case ("reply", interruptible):
                replies.append(call.call.replies.begin(interruptible=interruptible))
    await call.ends()
    for outcome in await asyncio.gather(*replacing, return_exceptions=True):
        assert outcome is None or isinstance(outcome, CallEnded | LinkError)


def in_order(before: list[tuple[Stream, int]], after: list[tuple[Stream, int]]) -> str | None:
    """Whether frames of a stream that came by both places did so in the same order; if not, which ones."""
    for stream in Stream:
        arrived = {number for of, number in after if of == stream}
        left = {number for of, number in before if of == stream}
        first = [number for of, number in before if of == stream and number in arrived]
        second = [number for of, number in after if of == stream and number in left]
        if first != second:
            return f"{stream.name}: {first} became {second}"
    return None


def check_order(notes: list[Notes]) -> None:
    for index, (one, other) in enumerate(pairwise(notes)):
        assert in_order(one.down, other.down) is None, f"downstream, at processor {index}"
        assert in_order(other.up, one.up) is None, f"upstream, at processor {index}"


def _shape(style: str, **what: Any) -> Shape:
    """A processor that only takes frames of these kinds."""
    usual: dict[str, Any] = {"at_once": [], "later": [], "up": [], "up_later": False, "nap_ms": 0}
    rest: dict[str, Any] = {"says": False, "swept_first": False, "on_interrupt": None, "setup_ms": 0}
    return Shape(style=style, **(usual | rest | what))


@given(st.lists(shapes, max_size=5), st.lists(steps, max_size=25))
@settings(max_examples=250 * DEPTH)
# The end waits for the task of the first, and so does what travels upstream behind it, by whatever route.
@example(
    [
        _shape("return", up=[InputAudioFrame]),
        _shape("answer upstream", later=[InputAudioFrame]),
        _shape("answer upstream", at_once=[InputAudioFrame]),
    ],
    [("push", [InputAudioFrame]), ("task", 0, [InputAudioFrame], 0)],
)
# What each pushes in the sweep waits in turn behind what the next has pushed, and the end passes them all.
@example([_shape("return", says=True), *[_shape("return", says=True, swept_first=True)] * 4], [("interrupt",)])
async def test_order_sweeps_and_no_loss_in_a_line(line: list[Shape], schedule: list[tuple[Any, ...]]) -> None:
    world = World()
    workers = [
        worker_class(s)(world, style=s.style, nap_ms=s.nap_ms, index=i, says=s.says, setup_ms=s.setup_ms)
        for i, s in enumerate(line)
    ]
    notes = [Notes(world) for _ in range(len(workers) + 1)]
    between = [p for worker, note in zip(workers, notes[1:], strict=True) for p in (worker, note)]
    async with rig(notes[0], *between) as call:
        await play(world, call, workers, schedule)
    assert not world.wrong
    check_order(notes)
    if any(event.data["code"] == "processor.overflow" for event in call.events("processor.failed")):
        return  # processors that triple what they get fill any mailbox: the call ends then, and says so
    assert call.result.reason == "completed"
    check_nothing_lost(world, notes, overflowed=bool(call.events("processor.overflow")))
    if any(step[0] == "replace" for step in schedule):
        return
    # Each sweep reaches each handler once: those declared upstream from the sink on, then the others from the source.
    first = [i for i, s in reversed(list(enumerate(line))) if s.swept_first]
    then = [i for i, s in enumerate(line) if not s.swept_first]
    ready = [i for i, _ in world.swept]
    expected = [*first, *then]
    while ready:
        sweep, rest = [], list(ready)
        for index in expected:
            if rest and rest[0] == index:
                sweep.append(rest.pop(0))
            else:
                assert line[index].setup_ms, f"processor {index} was left out of a sweep: {world.swept}"
        assert sweep, world.swept
        ready = rest


def check_nothing_lost(world: World, notes: list[Notes], *, overflowed: bool = False) -> None:
    """Every frame that is not part of a reply passes every place behind the one where it was made, once.

    But for the caller's audio, if a queue was over its bound: processors that double what they get fill any.
    """
    streams = {number: frame.stream for frame in world.kept for number in [world.tags[id(frame)]]}
    for way, places in (("down", notes), ("up", notes[::-1])):
        for one, other in pairwise(places):
            before = [n for _, n in getattr(one, way) if not isinstance(world.kept[n - 1], TextFrame)]
            after = [n for _, n in getattr(other, way) if not isinstance(world.kept[n - 1], TextFrame)]
            lost = set(before) - set(after) - world.cut
            if overflowed:
                lost = {n for n in lost if streams[n] is not Stream.AUDIO}
            assert not lost, f"{way}: lost {[(n, streams[n].name) for n in sorted(lost)]}"
            assert len(after) == len(set(after)), f"{way}: {after}"


@given(
    st.recursive(
        st.lists(shapes, min_size=1, max_size=2),
        lambda inner: st.lists(inner, min_size=1, max_size=3).map(lambda branches: Branches(branches)),
        max_leaves=5,
    ),
    st.lists(steps.filter(lambda step: step[0] not in ("task", "jam", "replace")), max_size=20),
)
@settings(max_examples=150 * DEPTH)
async def test_branches_side_by_side(tree: Any, schedule: list[tuple[Any, ...]]) -> None:
    """All `def`: what enters a block in order leaves it in order, and once, however many branches let it through."""
    world = World()
    before, after = Notes(world), Notes(world)
    async with rig(before, *_place(world, tree), after) as call:
        await play(world, call, [], schedule)
    assert call.result.reason == "completed"
    assert not world.wrong
    check_order([before, after])
    for place in (before, after):
        numbers = [number for _, number in place.down]
        assert len(numbers) == len(set(numbers)), numbers
    check_nothing_lost(world, [before, after])


@dataclass
class Branches:
    branches: list[Any]


def _place(world: World, tree: Any) -> list[Processor | Parallel]:
    if isinstance(tree, Branches):
        return [Parallel(*[_place(world, branch) for branch in tree.branches])]
    made: list[Processor | Parallel] = []
    for shape in tree:
        shape.later, shape.setup_ms, shape.up_later, shape.says = [], 0, False, False
        made.append(worker_class(shape)(world, style=shape.style, nap_ms=0, index=0, says=False, setup_ms=0))
    return made
