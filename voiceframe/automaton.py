"""Automata over words: what a grammar lets through, as the smallest machine that reads it.

A grammar is compiled once: to a machine with free moves (Thompson's construction), from there to one that has a single
move for each word in each state (Rabin and Scott's subsets), and that is made as small as it can be (Moore's
refinement). To read a sentence then takes one look-up a word, whatever the grammar looks like.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

__all__ = ["Builder", "Machine", "TooLarge"]

#: How many states a machine may have on its way to being small. A date with a time has some 2,000.
MOST_STATES: Final = 50_000


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
        self._count()
        self._free[start].append(end)

    def word(self, start: int, word: str, end: int) -> None:
        """A move that takes a word."""
        self._count()
        self._words[start].append((word, end))

    def _count(self) -> None:
        self._moves += 1
        if self._moves > 4 * MOST_STATES:
            raise TooLarge

    def machine(self, start: int, end: int) -> Machine:
        """The smallest machine that lets the same through on its way from `start` to `end`."""
        moves, final = self._subsets(start, end)
        moves, final = _useful(moves, final)
        return _smallest(moves, final)

    def _closed(self, states: set[int]) -> frozenset[int]:
        found, waiting = set(states), list(states)
        while waiting:
            for target in self._free[waiting.pop()]:
                if target not in found:
                    found.add(target)
                    waiting.append(target)
        # Of a set only its ends and the states that take words matter: others would make equal sets differ.
        return frozenset(state for state in found if self._words[state] or not self._free[state])

    def _subsets(self, start: int, end: int) -> tuple[list[dict[str, int]], set[int]]:
        first = self._closed({start})
        numbers, order = {first: 0}, [first]
        moves: list[dict[str, int]] = []
        work = 0
        for subset in order:
            targets: dict[str, set[int]] = {}
            for state in sorted(subset):
                for word, target in self._words[state]:
                    targets.setdefault(word, set()).add(target)
            row: dict[str, int] = {}
            for word, found in targets.items():
                closed = self._closed(found)
                work += len(closed)
                if closed not in numbers:
                    # The number of sets and what they hold can both grow like a power of the grammar's length.
                    if len(order) >= MOST_STATES or work > 40 * MOST_STATES:
                        raise TooLarge
                    numbers[closed] = len(order)
                    order.append(closed)
                row[word] = numbers[closed]
            moves.append(row)
        return moves, {number for subset, number in numbers.items() if end in subset}


def _useful(moves: list[dict[str, int]], final: set[int]) -> tuple[list[dict[str, int]], set[int]]:
    """Without the states from which there is no end."""
    sources: list[list[int]] = [[] for _ in moves]
    for state, row in enumerate(moves):
        for target in row.values():
            sources[target].append(state)
    alive, waiting = set(final), list(final)
    while waiting:
        for source in sources[waiting.pop()]:
            if source not in alive:
                alive.add(source)
                waiting.append(source)
    return [
        {word: target for word, target in row.items() if target in alive} if state in alive else {}
        for state, row in enumerate(moves)
    ], final


def _smallest(moves: list[dict[str, int]], final: set[int], first: int = 0) -> Machine:
    """States from which the same is let through become one; those that cannot be reached go."""
    groups = [int(state in final) for state in range(len(moves))]
    count = len(set(groups))
    while True:
        keys: dict[tuple[object, ...], int] = {}
        refined = []
        for state, row in enumerate(moves):
            key = (groups[state], *sorted((word, groups[target]) for word, target in row.items()))
            refined.append(keys.setdefault(key, len(keys)))
        groups = refined
        if len(keys) == count:
            break
        count = len(keys)
    members: dict[int, int] = {}
    for state, group in enumerate(groups):
        members.setdefault(group, state)
    numbers, order = {groups[first]: 0}, [groups[first]]
    rows: list[dict[str, int]] = []
    for group in order:
        found: dict[str, int] = {}
        for word, target in sorted(moves[members[group]].items()):
            to = groups[target]
            if to not in numbers:
                numbers[to] = len(order)
                order.append(to)
            found[word] = numbers[to]
        rows.append(found)
    return Machine(tuple(rows), frozenset(n for group, n in numbers.items() if members[group] in final))
