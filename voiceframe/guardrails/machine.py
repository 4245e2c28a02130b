"""Matching in linear time: all that a pattern matches in a text, and what of its end may yet become a match.

A pattern becomes a machine with free moves (K. Thompson, "Regular expression search algorithm", CACM 11, 1968). All its
threads run at once over the text, so no text makes it slow: the time is at most the length of the text times the size
of the machine. Sets of threads that were met before are remembered, which makes a text without a match cost one look-up
for each character. Where there is a match, the threads run once more and carry where they began.

What is found are not single matches, of which one has to choose, but all that any of them covers. So what is found does
not depend on the pieces in which a text comes.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from ..errors import GuardrailError
from .syntax import CharSet, Node, is_word, parse

__all__ = ["Machine", "Matches"]

#: Nodes that a machine may have: a pattern that needs more repeats something large too often.
MOST_NODES: Final = 20_000
#: Sets of threads that are remembered, for each machine. Beyond that all are forgotten.
_MOST_STATES: Final = 2_000
_MOST_MOVES: Final = 500  # of one set

_START, _OTHER, _WORD, _END = range(4)  # what stands beside a place


class Matches(NamedTuple):
    """Spans that are covered by matches, in order; and where the earliest match begins that may yet come or go on."""

    spans: list[tuple[int, int]]
    open: int


class _State:
    """A set of threads, behind a character of a kind."""

    __slots__ = ("idle", "moves", "prev", "threads")

    def __init__(self, threads: frozenset[int], prev: int, idle: bool) -> None:
        self.threads = threads
        self.prev = prev
        self.idle = idle  # no thread has begun
        self.moves: dict[str, tuple[_State, bool]] = {}


class Machine:
    """A pattern that is ready to be matched.

    Raises `GuardrailError` (`guard.pattern`) for what it does not take, for a pattern that matches nothing at all, and
    for one that is too large.
    """

    __slots__ = ("_accepted", "_ahead", "_next", "_pattern", "_sets", "_start", "_states")

    def __init__(self, pattern: str, *, ignore_case: bool = True) -> None:
        self._pattern = pattern
        # A node is a set of characters with the node behind it, or free moves, or a condition with the node behind it.
        self._sets: list[CharSet | tuple[int, ...] | str | None] = []
        self._next: list[int] = []
        end = self._node(None, -1)
        # A node of its own, to which nothing leads back: a thread that is there has not begun.
        self._start = self._node((self._built(parse(pattern, ignore_case=ignore_case), end),), -1)
        self._states: dict[tuple[frozenset[int], int], _State] = {}
        self._ahead: dict[tuple[int, int, int], tuple[tuple[int, ...], bool]] = {}
        self._accepted: dict[tuple[int, str], bool] = {}
        if any(
            self._reach(self._start, prev, next)[1]
            for prev in (_START, _OTHER, _WORD)
            for next in (_OTHER, _WORD, _END)
        ):
            self._fail("it would match where there is nothing")

    def _fail(self, problem: str) -> None:
        raise GuardrailError.of("guard.pattern", pattern=self._pattern, at=0, problem=problem)

    # -- building

    def _node(self, what: CharSet | tuple[int, ...] | str | None, behind: int) -> int:
        if len(self._sets) >= MOST_NODES:
            self._fail("it repeats something large too often")
        self._sets.append(what)
        self._next.append(behind)
        return len(self._sets) - 1

    def _built(self, node: Node, behind: int) -> int:
        """The machine of a part, from its entry; `behind` is where it goes on."""
        if isinstance(node, CharSet | str):
            return self._node(node, behind)
        if len(node) == 1:
            for item in reversed(node[0]):
                behind = self._built(item, behind)
            return behind
        if len(node) == 2:
            return self._node(tuple([self._built(option, behind) for option in node[0]]), -1)
        item, low, high = node
        if high is None:
            loop = self._node((), -1)
            inner = self._built(item, loop)
            self._sets[loop] = (inner, behind)
            behind = loop
        else:
            out = behind
            for _ in range(high - low):
                behind = self._node((self._built(item, behind), out), -1)
        for _ in range(low):
            behind = self._built(item, behind)
        return behind

    # -- threads

    def _reach(self, node: int, prev: int, next: int) -> tuple[tuple[int, ...], bool]:
        """The sets of characters that a thread stands before, and whether it is through, between two characters."""
        key = (node, prev, next)
        found = self._ahead.get(key)
        if found is not None:
            return found
        stack, seen, before, through = [node], {node}, [], False
        while stack:
            at = stack.pop()
            what = self._sets[at]
            if what is None:
                through = True
                continue
            if isinstance(what, CharSet):
                before.append(at)
                continue
            behind = what if isinstance(what, tuple) else (self._next[at],) if _holds(what, prev, next) else ()
            for other in behind:
                if other not in seen:
                    seen.add(other)
                    stack.append(other)
        found = self._ahead[key] = (tuple(sorted(before)), through)
        return found

    def _takes(self, node: int, char: str) -> bool:
        key = (node, char)
        found = self._accepted.get(key)
        if found is None:
            if len(self._accepted) > 50_000:
                self._accepted.clear()
            what = self._sets[node]
            assert isinstance(what, CharSet)
            found = self._accepted[key] = what.accepts(char)
        return found

    def _state(self, threads: frozenset[int], prev: int) -> _State:
        key = (threads, prev)
        state = self._states.get(key)
        if state is None:
            if len(self._states) >= _MOST_STATES:
                self._states.clear()
            state = self._states[key] = _State(threads, prev, threads == {self._start})
        return state

    def _move(self, state: _State, char: str) -> tuple[_State, bool]:
        """The threads behind one more character, and whether a match has ended before it."""
        next = _WORD if is_word(char) else _OTHER
        through = False
        behind = {self._start}
        for thread in state.threads:
            before, done = self._reach(thread, state.prev, next)
            through = through or done
            behind.update(self._next[node] for node in before if self._takes(node, char))
        if len(state.moves) >= _MOST_MOVES:
            state.moves.clear()
        found = state.moves[char] = (self._state(frozenset(behind), next), through)
        return found

    # -- matching

    def matches(self, text: str, *, before: str = "", final: bool = True) -> Matches:
        """What the pattern matches in `text`, at which nothing is matched that begins before it.

        before: the character in front of it, or "" at the beginning. final: whether nothing comes behind it; else a
            match is only one if that can do nothing to it.
        """
        prev = (_WORD if is_word(before[-1]) else _OTHER) if before else _START
        first = self._state(frozenset((self._start,)), prev)
        state, quiet, hit = first, 0, False
        regions: list[tuple[int, int]] = []
        at = -1
        for at, char in enumerate(text):
            move = state.moves.get(char)
            state, through = move if move is not None else self._move(state, char)
            if through:
                hit = True
            if state.idle:
                if hit:
                    regions.append((quiet, at + 1))
                    hit = False
                quiet = at + 1
        spans: list[tuple[int, int]] = []
        for begin, end in regions:
            self._run(text, begin, end, before, False, spans)
        opened = len(text)
        if not state.idle:  # a thread may be through at the end, and one that is not is open
            opened = self._run(text, quiet, len(text), before, final, spans)
        return Matches(spans, len(text) if final else opened)

    def _run(self, text: str, begin: int, end: int, before: str, final: bool, spans: list[tuple[int, int]]) -> int:
        """Run the threads from `begin`, where none has begun, with where they began. The earliest that is left."""
        prev = text[begin - 1] if begin else before[-1:]
        kind = (_WORD if is_word(prev) else _OTHER) if prev else _START
        threads: dict[int, int] = {self._start: begin}
        for at in range(begin, end):
            char = text[at]
            next = _WORD if is_word(char) else _OTHER
            behind: dict[int, int] = {}
            for thread, began in threads.items():
                nodes, through = self._reach(thread, kind, next)
                if through:
                    _cover(spans, began, at)
                for node in nodes:
                    if self._takes(node, char):
                        other = self._next[node]
                        if behind.get(other, at) >= began:
                            behind[other] = began
            behind.setdefault(self._start, at + 1)
            threads, kind = behind, next
        if final:
            for thread, began in threads.items():
                if self._reach(thread, kind, _END)[1]:
                    _cover(spans, began, end)
        return min(threads.values())


def _holds(condition: str, prev: int, next: int) -> bool:
    if condition == "^":
        return prev == _START
    if condition == "$":
        return next == _END
    return ((prev == _WORD) != (next == _WORD)) == (condition == "b")


def _cover(spans: list[tuple[int, int]], start: int, end: int) -> None:
    """Add a match, which ends behind all before it or where the last one does. What overlaps becomes one."""
    while spans and start < spans[-1][1]:
        start = min(start, spans.pop()[0])
    spans.append((start, end))
