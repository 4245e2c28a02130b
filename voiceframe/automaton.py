"""Automata over words: what a grammar lets through, as the smallest machine that reads it.

A grammar is compiled once: to a machine with free moves (Thompson's construction), from there to one that has a single
move for each word in each state (Rabin and Scott's subsets), and that is made as small as it can be: from its ends if
it never goes round (D. Revuz, "Minimisation of acyclic deterministic automata in linear time", Theoretical Computer
Science 92, 1992), else by Moore's refinement. To read a sentence then takes one look-up a word, whatever the grammar
looks like.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

__all__ = ["Builder", "Machine", "TooLarge"]

#: How many states a machine may have on its way to being small. A date with a time has some 2,000.
MOST_STATES: Final = 50_000
_MOST_MOVES: Final = 4 * MOST_STATES  # with free ones


class TooLarge(Exception):
    """The machine would have more than `MOST_STATES` states."""


@dataclass(frozen=True, slots=True)
class Machine:
    """State 0 is where it begins. `moves[state]` gives the next state for a word; `final` has those it may end in.

    Every state can be reached, and from every one an end can be; a machine that accepts nothing is state 0 alone.
    """

    moves: tuple[Mapping[str, int], ...]
    final: frozenset[int]

    def accepts(self, words: Sequence[str]) -> bool:
        """Whether the words, all of them, are let through."""
        state: int | None = 0
        for word in words:
            state = self.moves[state].get(word)  # type: ignore[index]
            if state is None:
                return False
        return state in self.final

    def without(self, words: Sequence[str]) -> Machine:
        """The machine that lets all the same through but these words."""
        if not self.accepts(words):
            return self
        # The old states, and a copy of each one on the way of these words. The copies lead to each other and are left
        # where somebody says something else; the last of them is no end. Last in, the first copy is where it begins.
        way = [0]
        for word in words:
            way.append(self.moves[way[-1]][word])
        size = len(self.moves)
        moves = [dict(row) for row in self.moves]
        final = set(self.final)
        for number, state in enumerate(way):
            copy = dict(self.moves[state])
            if number < len(words):
                copy[words[number]] = size + number + 1
                if state in self.final:
                    final.add(size + number)
            moves.append(copy)
        return _smallest(*_useful(moves, final), first=size)

    def arcs(self) -> Iterator[tuple[int, str, int]]:
        """Every move: from, word, to."""
        for state, moves in enumerate(self.moves):
            for word, target in moves.items():
                yield state, word, target


class Builder:
    """A machine with free moves, while it is being made. Raises `TooLarge`."""

    def __init__(self) -> None:
        self._free: list[list[int]] = []
        self._words: list[list[tuple[str, int]]] = []
        self._moves = 0

    def state(self) -> int:
        """A new state."""
        if len(self._free) >= MOST_STATES:
            raise TooLarge
        self._free.append([])
        self._words.append([])
        return len(self._free) - 1

    def free(self, start: int, end: int) -> None:
        """A move that takes no word."""
        self._moves += 1
        if self._moves > _MOST_MOVES:
            raise TooLarge
        self._free[start].append(end)

    def word(self, start: int, word: str, end: int) -> None:
        """A move that takes a word."""
        self._moves += 1
        if self._moves > _MOST_MOVES:
            raise TooLarge
        self._words[start].append((word, end))

    def machine(self, start: int, end: int) -> Machine:
        """The smallest machine that lets the same through on its way from `start` to `end`."""
        moves, final = self._subsets(start, end)
        moves, final = _useful(moves, final)
        return _smallest(moves, final)

    def _closed(self, state: int) -> frozenset[int]:
        """Where one is in this state: there, and wherever free moves lead from it."""
        free, words = self._free, self._words
        if not free[state]:
            return frozenset((state,))  # most are like this
        found, waiting = {state}, [state]
        while waiting:
            for target in free[waiting.pop()]:
                if target not in found:
                    found.add(target)
                    waiting.append(target)
        # Of a set only its ends and the states that take words matter: others would make equal sets differ.
        return frozenset([state for state in found if words[state] or not free[state]])

    def _subsets(self, start: int, end: int) -> tuple[list[dict[str, int]], set[int]]:
        words = self._words
        closed: dict[int, frozenset[int]] = {}  # of each state that is asked for, once: a set keeps its hash
        first = self._closed(start)
        numbers, order = {first: 0}, [first]
        moves: list[dict[str, int]] = []
        work = 0
        for subset in order:
            targets: dict[str, list[int]] = {}
            for state in sorted(subset) if len(subset) > 1 else subset:
                for word, target in words[state]:
                    if word in targets:
                        targets[word].append(target)
                    else:
                        targets[word] = [target]
            row: dict[str, int] = {}
            for word, reached in targets.items():
                for target in reached:
                    if target not in closed:
                        closed[target] = self._closed(target)
                found = closed[reached[0]]
                if len(reached) > 1:
                    found = found.union(*[closed[target] for target in reached])
                work += len(found)
                number = numbers.get(found)
                if number is None:
                    # The number of sets and what they hold can both grow like a power of the grammar's length.
                    if len(order) >= MOST_STATES or work > 40 * MOST_STATES:
                        raise TooLarge
                    number = numbers[found] = len(order)
                    order.append(found)
                row[word] = number
            moves.append(row)
        return moves, {number for subset, number in numbers.items() if end in subset}


def _sources(moves: list[dict[str, int]]) -> list[list[int]]:
    """For each state those from which a word leads there, once for each word."""
    sources: list[list[int]] = [[] for _ in moves]
    for state, row in enumerate(moves):
        for target in row.values():
            sources[target].append(state)
    return sources


def _useful(moves: list[dict[str, int]], final: set[int]) -> tuple[list[dict[str, int]], set[int]]:
    """Without the states from which there is no end."""
    sources = _sources(moves)
    alive, waiting = set(final), list(final)
    while waiting:
        for source in sources[waiting.pop()]:
            if source not in alive:
                alive.add(source)
                waiting.append(source)
    if len(alive) == len(moves):
        return moves, final
    return [
        {word: target for word, target in row.items() if target in alive} if state in alive else {}
        for state, row in enumerate(moves)
    ], final


def _smallest(moves: list[dict[str, int]], final: set[int], first: int = 0) -> Machine:
    """States from which the same is let through become one; those that cannot be reached go.

    The smallest machine is the only one of its kind, and its states are numbered in the order in which they are reached
    by sorted words: the result is the same however it is found.
    """
    rows = [tuple(sorted(row.items())) if len(row) > 1 else tuple(row.items()) for row in moves]
    groups = _from_the_ends(moves, rows, final) or _refined(rows, final)
    members: dict[int, int] = {}
    for state, group in enumerate(groups):
        if group not in members:
            members[group] = state
    numbers, order = {groups[first]: 0}, [groups[first]]
    made: list[dict[str, int]] = []
    for group in order:
        found: dict[str, int] = {}
        for word, target in rows[members[group]]:
            to = groups[target]
            if to not in numbers:
                numbers[to] = len(order)
                order.append(to)
            found[word] = numbers[to]
        made.append(found)
    return Machine(tuple(made), frozenset(n for group, n in numbers.items() if members[group] in final))


_Row: TypeAlias = tuple[tuple[str, int], ...]


def _from_the_ends(moves: list[dict[str, int]], rows: list[_Row], final: set[int]) -> list[int] | None:
    """Which states are one, in a machine that never goes round (Revuz): each is looked at once, after those behind it.

    None for a machine that does.
    """
    left = [len(row) for row in rows]
    sources = _sources(moves)
    ready = [state for state, count in enumerate(left) if not count]
    groups = [0] * len(rows)
    keys: dict[tuple[bool, _Row], int] = {}
    for state in ready:
        key = (state in final, tuple([(word, groups[target]) for word, target in rows[state]]))
        groups[state] = keys.setdefault(key, len(keys))
        for source in sources[state]:
            left[source] -= 1
            if not left[source]:
                ready.append(source)
    return groups if len(ready) == len(rows) else None


def _refined(rows: list[_Row], final: set[int]) -> list[int]:
    """Which states are one (Moore): those that nothing tells apart, however far one looks."""
    # From each state that a word leads to there is an end, so states that take other words are others.
    first: dict[tuple[bool, tuple[str, ...]], int] = {}
    groups = [
        first.setdefault((state in final, tuple([word for word, _ in row])), len(first))
        for state, row in enumerate(rows)
    ]
    targets = [[target for _, target in row] for row in rows]
    count = len(first)
    while True:
        keys: dict[tuple[int, ...], int] = {}
        groups = [
            keys.setdefault((group, *[groups[target] for target in row]), len(keys))
            for group, row in zip(groups, targets, strict=True)
        ]
        if len(keys) == count:
            return groups
        count = len(keys)
