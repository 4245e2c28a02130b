"""Pipelines: the order in which processors stand.

    Pipeline([call.transport.input(), SileroVAD(), DeepgramSTT(), Turns(), agent, tts, call.transport.output()])

A pipeline is a declaration; it is linked when its call starts. Linking refuses what cannot work with a `LinkError`
that names the processor and the fix.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

from .audio import AudioFormat, convertible
from .errors import LinkError
from .frames import Frame, InputAudioFrame, Stream
from .processor import Observer, Processor

__all__ = ["Parallel", "Pipeline"]


class Parallel:
    """Branches side by side, as one step of a pipeline: `Parallel([Recorder()], [VAD(), STT()])`.

    A frame enters only the branches that take its type; if none does, it passes the whole block. A frame that several
    branches let through leaves once. What leaves is ordered by the frame that entered, then by branch; what an
    `async def` handler makes joins when it comes. Control frames leave once, after all branches. Blocks nest.
    """

    def __init__(self, *branches: Iterable[Processor | Parallel]) -> None:
        self.branches: tuple[tuple[Processor | Parallel, ...], ...] = tuple(tuple(branch) for branch in branches)

    def __repr__(self) -> str:
        return f"Parallel({', '.join(str(list(branch)) for branch in self.branches)})"


class Pipeline:
    """Processors in order from source to sink, and observers that see all of it.

    Belongs to one call: create it, and its processors, inside `def bot(call)`.
    """

    def __init__(self, processors: Iterable[Processor | Parallel], *, observers: Iterable[Observer] = ()) -> None:
        self.elements: tuple[Processor | Parallel, ...] = tuple(processors)
        self.observers: tuple[Observer, ...] = tuple(observers)

    def processors(self) -> Iterator[Processor]:
        """All processors in order, those of branches one branch after the other, without the observers."""
        return _walk(self.elements)

    def check(self) -> None:
        """Raise `LinkError` if the pipeline cannot work, and what its processors raise that cannot work in it."""
        _check_kinds(self.elements)
        processors = list(self.processors())
        if not processors:
            raise LinkError.of("link.empty")
        _check_observers(self.observers)
        _check_instances([*processors, *self.observers])
        _check_ends(self.elements, processors)
        for observer in self.observers:
            _check_handlers(observer)
        _check_places(processors)
        for each in (*processors, *self.observers):
            each.check_pipeline(self)

    def __repr__(self) -> str:
        return f"Pipeline({list(self.elements)})"


def _walk(elements: Sequence[Processor | Parallel]) -> Iterator[Processor]:
    for element in elements:
        if isinstance(element, Parallel):
            for branch in element.branches:
                yield from _walk(branch)
        else:
            yield element


def _check_kinds(elements: Sequence[object]) -> None:
    for element in elements:
        if isinstance(element, Parallel):
            for number, branch in enumerate(element.branches, 1):
                if not branch:
                    raise LinkError.of("link.empty-branch", number=number)
                _check_kinds(branch)
        elif not isinstance(element, Processor):
            name = element.__name__ if isinstance(element, type) else type(element).__name__
            raise LinkError.of("link.not-a-processor", what=repr(element), name=name)


def _check_observers(observers: Sequence[object]) -> None:
    for observer in observers:
        if not isinstance(observer, Observer):
            name = observer.__name__ if isinstance(observer, type) else type(observer).__name__
            raise LinkError.of("link.not-an-observer", processor=name)


def _check_instances(processors: Sequence[Processor]) -> None:
    seen: set[int] = set()
    for processor in processors:
        if id(processor) in seen:
            raise LinkError.of("link.used-twice", processor=type(processor).__name__)
        seen.add(id(processor))
        check_unshared(processor)


def check_unshared(processor: Processor) -> None:
    """Raise `LinkError` if the processor already belongs to a call."""
    node = processor._node
    if node is not None:
        raise LinkError.of("link.shared", processor=processor.name, call=node.engine.call.id)


def _check_ends(elements: Sequence[Processor | Parallel], processors: Sequence[Processor]) -> None:
    first, last = elements[0], elements[-1]
    if isinstance(first, Parallel) or first.role != "source":
        raise LinkError.of("link.no-source", first=_named(first))
    if isinstance(last, Parallel) or last.role != "sink":
        raise LinkError.of("link.no-sink", last=_named(last))
    for before, processor in pairwise(processors):
        if processor.role == "source":
            raise LinkError.of("link.source-inside", processor=processor.name, before=before.name)
    for processor, behind in pairwise(processors):
        if processor.role == "sink":
            raise LinkError.of("link.sink-inside", processor=processor.name, behind=behind.name)


def _named(element: Processor | Parallel) -> str:
    return "A Parallel" if isinstance(element, Parallel) else element.name


def check_replaced(processors: Sequence[Processor]) -> None:
    """Raise `LinkError` if these processors, of which one is to take another's place, cannot stand in this order."""
    _check_ends(processors, processors)
    _check_places(processors)


def _check_places(processors: Sequence[Processor]) -> None:
    """Raise `LinkError` if processors that stand in this order cannot work together."""
    for processor in processors:
        _check_handlers(processor)
    _check_deciders(processors)
    _check_formats(processors)


def _check_handlers(processor: Processor) -> None:
    for handler in processor.table.handlers:
        for frame_type in handler.types:
            if frame_type.stream == Stream.URGENT and handler.is_async:
                raise LinkError.of(
                    "link.async-urgent", processor=processor.name, handler=handler.name, frame=frame_type.__name__
                )


def _check_deciders(processors: Sequence[Processor]) -> None:
    deciders = [processor.name for processor in processors if processor.decides_interruptions]
    if len(deciders) > 1:
        raise LinkError.of("link.two-deciders", first=deciders[0], second=deciders[1])


def _check_formats(processors: Sequence[Processor]) -> None:
    source, sink = processors[0], processors[-1]
    for processor in processors[1:-1]:
        if processor.accepts and _takes(processor, InputAudioFrame):
            _check_format(source, source.produces, processor)
        if processor.produces and sink.accepts:
            _check_format(processor, processor.produces, sink)


def _takes(processor: Processor, frame_type: type[Frame]) -> bool:
    table = processor.table
    return any(table.find(frame_type, upstream=False, observes=observes) for observes in (False, True))


def _check_format(producer: Processor, produces: tuple[AudioFormat, ...], consumer: Processor) -> None:
    for source in produces:
        if not any(convertible(source, target) for target in consumer.accepts):
            raise LinkError.of(
                "link.format",
                producer=producer.name,
                produces=source,
                consumer=consumer.name,
                accepts=" or ".join(map(str, consumer.accepts)),
            )
