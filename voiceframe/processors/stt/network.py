"""From a grammar to a network of the sounds that it lets through.

Each word of each move of the grammar becomes a row of phones, each phone three states. A phone sounds different beside
different neighbours, also across the border of words: a word whose end has several followers ends in as many ways, and
begins in as many as it has predecessors. Between two words, before the first and behind the last there may be silence.
Beside all that each network has the row of any phones, which explains any speech as well as can be. What begins alike
is shared, and what ends alike too, so that a network has some 5,000 to 15,000 phones.

A border of words is a `hub`: the state of the grammar, the last phone of the word before and the first of the next. All
ways that end so lead into it, and it leads to all that begin so.

The states lie in one long row. A phone that has only one predecessor stands behind it, so that what goes on to the next
state can be found for all of them at once; the others are `heads` and get the best of what leads to them.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from ...automaton import Machine
from .acoustics import by_book
from .pronunciation import PHONES
from .sphinx import BEGIN, END, INTERNAL, SINGLE, Floats, Numbers, definition, moves

__all__ = ["NEVER", "Best", "Network", "network"]

NEVER: Final = np.float32(-1e30)

# Chosen by measurement with `benchmarks.stt`, all log-probabilities. How much the grammar counts beside the sound: a
# power, as in PocketSphinx. What each word costs: without it a noise behind a name becomes a date. What silence costs:
# little, for there is much of it around what a caller says.
_GRAMMAR: Final = 6.5
_WORD: Final = -6.0
_SILENCE: Final = -1.0
#: By how much a way is more likely that leads to many sentences, a power; and how many words far that is looked for.
_BREADTH: Final = 0.15
_FAR: Final = 8
#: What each phone costs in the row of any phones.
_PHONE: Final = -25.0

#: A group larger than this is not worth an operation for each of its members.
_LARGE: Final = 8


class Best:
    """The greatest value of each of many groups of values, found for all at once.

    The values lie as `order` says, which has their numbers as they were given, group after group. `number` says where
    the result of each group is. Large groups lie in one piece each. Of the small ones first come the first values of
    all, then the second values of those that have two, and so on, so that a few operations on long rows do it.
    """

    __slots__ = ("_layers", "_small", "_starts", "_tail", "number", "order")

    def __init__(self, sizes: Sequence[int]) -> None:
        begins = np.concatenate(([0], np.cumsum(sizes))).tolist()
        ranked = sorted(range(len(sizes)), key=lambda group: -sizes[group])
        self._small = sum(size > _LARGE for size in sizes)  # where the small ones begin
        large, small = ranked[: self._small], ranked[self._small :]
        order = [value for group in large for value in range(begins[group], begins[group + 1])]
        self._starts = np.array([0, *np.cumsum([sizes[group] for group in large])][:-1], np.intp)
        self._tail = len(order)  # where the values of the small ones begin
        self._layers: list[tuple[int, int, int]] = []  # how many groups have such a value, and where those are
        for layer in range(_LARGE):
            members = [begins[group] + layer for group in small if sizes[group] > layer]
            if members:
                self._layers.append((self._small + len(members), len(order), len(order) + len(members)))
            order += members
        self.order = np.array(order, np.intp)
        self.number = np.empty(len(sizes), np.intp)
        self.number[ranked] = np.arange(len(sizes))

    def find(self, values: Floats) -> Floats:
        """The greatest of each group. values: in `order`."""
        found = np.empty(len(self.number), np.float32)
        if self._small:
            np.maximum.reduceat(values[: self._tail], self._starts, out=found[: self._small])
        for layer, (last, start, end) in enumerate(self._layers):
            part = found[self._small : last]
            if layer:
                np.maximum(part, values[start:end], out=part)
            else:
                part[:] = values[start:end]
        return found

    def which(self, number: int, values: Floats) -> int:
        """The place in `values` of the greatest in the group whose result is at `number`."""
        if number < self._small:
            start = int(self._starts[number])
            end = int(self._starts[number + 1]) if number + 1 < self._small else self._tail
            return start + int(np.argmax(values[start:end]))
        places = [start + number - self._small for last, start, _ in self._layers if number < last]
        return max(places, key=values.__getitem__)


@dataclass(frozen=True, slots=True)
class Network:
    """What a segment is searched in. A state is a place in the row; 3 * n is the first state of phone n.

    senones, books: all that are needed, see `by_book`. sound: the number of the senone of each state among them.
    stays: the log-probability to stay in a state, by senone; go: to go on to the next state in the row, less that.
    exits, costs: states that something leaves which does not stand behind them, and at what cost, in the order of
        `joins`; joins: the best that leads to each inner head and to each hub.
    heads, head_joins: inner heads, and the number of the join of each.
    borders: the best hub of each head that begins a word; in its order border_joins has the numbers of their joins.
    starts, start_costs: states that begin a word, in the order of `borders`, and at what cost.
    first: those that begin a sentence, or the row of any phones. ends: joins that end a sentence, and at what cost.
    any_end: the join that ends the row of any phones.
    words: of each word by its number; word: of each phone, -1 where it does not tell a word, -2 for silence.
    chained: whether a phone stands behind its only predecessor. inner, outer: of phones that do not, the number of the
        join that leads there, or of the border.
    """

    senones: Numbers
    books: list[tuple[int, int, int]]
    sound: Any
    stays: Floats
    go: Floats
    exits: Any
    costs: Floats
    joins: Best
    heads: Any
    head_joins: Any
    borders: Best
    border_joins: Any
    starts: Any
    start_costs: Floats
    first: list[tuple[int, float]]
    ends: list[tuple[int, float]]
    any_end: int
    words: list[str]
    word: list[int]
    chained: list[bool]
    inner: dict[int, int]
    outer: dict[int, int]


class _Builder:
    """Phones and what leads where, while a network is being made. Phones and sequences are numbers of the model."""

    def __init__(self) -> None:
        self.definition = definition()
        self.sequence: list[int] = []
        self.phone: list[int] = []
        self.cost: list[float] = []  # to enter it
        self.word: list[int] = []
        self.before: list[list[int] | None] = []  # what leads to it; None: hubs
        self.entered: dict[int, list[int]] = defaultdict(list)  # by which hubs
        self.left: dict[int, list[int]] = defaultdict(list)  # a hub, by which phones
        self.words: list[str] = []
        self.hubs: dict[tuple[int, int, int], int] = {}
        self._shared: dict[tuple[object, ...], int] = {}
        self._sequences: dict[tuple[int, int, int, int], int] = {}

    def hub(self, state: int, last: int, first: int) -> int:
        return self.hubs.setdefault((state, last, first), len(self.hubs))

    def add(self, sequence: int, phone: int, before: Iterable[int] | None, cost: float = 0.0, word: int = -1) -> int:
        self.sequence.append(sequence)
        self.phone.append(phone)
        self.before.append(None if before is None else list(before))
        self.cost.append(cost)
        self.word.append(word)
        return len(self.phone) - 1

    def beside(self, phone: int, left: int, right: int, where: int) -> int:
        """The sequence of a phone between these two."""
        key = phone, left, right, where
        found = self._sequences.get(key)
        if found is None:
            found = self._sequences[key] = self._nearest(*key)
        return found

    def _nearest(self, phone: int, left: int, right: int, where: int) -> int:
        """That of a triphone which the model has, or of one that is like it."""
        silence, table = self.definition.silence, self.definition.sequences
        others = (
            (left, right),
            (silence if where in (BEGIN, SINGLE) else left, silence if where in (END, SINGLE) else right),
        )
        for pair in others:
            for place in (where, INTERNAL, BEGIN, END, SINGLE):
                found = int(table[place, phone, *pair])
                if found >= 0:
                    return found
        return self.definition.alone[phone]

    def say(self, word: str, phones: Sequence[int], move: tuple[int, int], cost: float, around: _Around) -> None:
        """One way to say a word on a move of the grammar. Its name stands at the last phone that only it has."""
        name = len(self.words)
        self.words.append(word)
        if len(phones) == 1:
            self._single(name, phones[0], move, cost, around)
            return
        before = self._begin(name, phones, move[0], cost, around)
        for place in range(1, len(phones) - 1):
            sequence = self.beside(phones[place], phones[place - 1], phones[place + 1], INTERNAL)
            own = place == len(phones) - 2
            key = (*before, sequence, phones[place], name if own else -1)
            found = self._shared.get(key)
            if found is None:
                tells = (cost, name) if own else ()
                found = self._shared[key] = self.add(sequence, phones[place], before, *tells)
            before = [found]
        self._end(phones, move[1], before, around)

    def _begin(self, name: int, phones: Sequence[int], state: int, cost: float, around: _Around) -> list[int]:
        own = len(phones) == 2
        ways: dict[int, list[int]] = defaultdict(list)
        for left in around.before[state]:
            ways[self.beside(phones[0], left, phones[1], BEGIN)].append(left)
        begun = []
        for sequence, lefts in ways.items():
            key = ("begin", state, sequence, phones[0], *lefts, name if own else -1)
            found = self._shared.get(key)
            if found is None:
                tells = (cost, name) if own else ()
                found = self._shared[key] = self.add(sequence, phones[0], None, *tells)
                self.entered[found] = [self.hub(state, left, phones[0]) for left in lefts]
            begun.append(found)
        return begun

    def _end(self, phones: Sequence[int], state: int, before: list[int], around: _Around) -> None:
        """The last phone, which all words share that end so on their way to the same state."""
        last = phones[-1]
        ways: dict[int, list[int]] = defaultdict(list)
        for right in around.behind[state]:
            ways[self.beside(last, phones[-2], right, END)].append(right)
        for sequence, rights in ways.items():
            key = ("end", state, sequence, last, *rights)
            found = self._shared.get(key)
            if found is None:
                found = self._shared[key] = self.add(sequence, last, ())
                for right in rights:
                    self.left[self.hub(state, last, right)].append(found)
            already = self.before[found]
            assert already is not None
            already += before

    def _single(self, name: int, phone: int, move: tuple[int, int], cost: float, around: _Around) -> None:
        ways: dict[int, dict[int, list[int]]] = defaultdict(lambda: defaultdict(list))  # what leads where
        rights = around.behind[move[1]]
        for left in around.before[move[0]]:
            for right in rights:
                ways[self.beside(phone, left, right, SINGLE)][left].append(right)
        for sequence, by_left in ways.items():
            by_rights: dict[tuple[int, ...], list[int]] = defaultdict(list)
            for left, those in by_left.items():
                by_rights[tuple(those)].append(left)
            for those_rights, lefts in by_rights.items():
                found = self.add(sequence, phone, None, cost, name)
                self.entered[found] = [self.hub(move[0], left, phone) for left in lefts]
                for right in those_rights:
                    self.left[self.hub(move[1], phone, right)].append(found)

    def silence(self, state: int, around: _Around, final: bool) -> None:
        """Silence between two words, and at the end."""
        silence = self.definition.silence
        found = self.add(self.definition.alone[silence], silence, None, _SILENCE, -2)
        self.entered[found] = [self.hub(state, last, silence) for last in around.before[state] if last != silence]
        if state == 0:
            self.entered[found].append(self.hub(0, silence, silence))
        for first in around.behind[state]:
            if first != silence:
                self.left[self.hub(state, silence, first)].append(found)
        if final:
            self.left[self.hub(state, silence, -1)].append(found)

    def any_phones(self) -> int:
        """The row of any phones, apart from all else; its hub."""
        number, silence = self.definition.number, self.definition.silence
        hub = self.hub(-1, silence, silence)
        for name in (*PHONES, "SIL"):
            phone = number[name]
            found = self.add(self.definition.alone[phone], phone, None, _PHONE, -2)
            if phone != silence:
                self.word[found] = len(self.words)
                self.words.append(name)
            self.entered[found] = [hub]
            self.left[hub].append(found)
        return hub


class _Around:
    """Which phones may stand before and behind a state of the grammar; silence always."""

    def __init__(self, machine: Machine, ways: Mapping[str, Sequence[Sequence[int]]], silence: int) -> None:
        before: list[set[int]] = [{silence} for _ in machine.moves]
        behind: list[set[int]] = [{silence} for _ in machine.moves]
        for state, word, target in machine.arcs():
            for phones in ways[word]:
                before[target].add(phones[-1])
                behind[state].add(phones[0])
        self.before = [sorted(phones) for phones in before]
        self.behind = [sorted(phones) for phones in behind]


def network(machine: Machine, sounds: Mapping[str, Sequence[str]]) -> Network:
    """The network of a grammar. sounds: of each word the ways to say it, in phones.

    Raises `RecognitionError` (`stt.model`).
    """
    builder = _Builder()
    number, silence = builder.definition.number, builder.definition.silence
    ways = {word: [[number[phone] for phone in way.split()] for way in found] for word, found in sounds.items()}
    around = _Around(machine, ways, silence)
    ends: dict[int, float] = {}
    likely = _likely(machine)
    for state, row in enumerate(machine.moves):
        final = state in machine.final
        whole = sum(likely[target] for target in row.values()) + final
        share = -_GRAMMAR * math.log(max(1.0, whole))
        for word, target in row.items():
            cost = share + _GRAMMAR * math.log(likely[target]) + _WORD
            for phones in ways[word]:
                builder.say(word, phones, (state, target), cost, around)
        builder.silence(state, around, final)
        if final:
            ends[builder.hub(state, silence, -1)] = share
            ends |= {builder.hub(state, last, silence): share for last in around.before[state] if last != silence}
    first = {hub for (state, last, _), hub in builder.hubs.items() if state == 0 and last == silence}
    return _laid_out(builder, first, ends, builder.any_phones())


def _likely(machine: Machine) -> list[float]:
    """How likely it is that something is said that goes on from each state: what leads to much is more likely.

    A power of the number of sentences, of so many words at most, that it leads to.
    """
    counts = [float(state in machine.final) for state in range(len(machine.moves))]
    for _ in range(_FAR):
        counts = [
            (state in machine.final) + sum(counts[target] for target in row.values())
            for state, row in enumerate(machine.moves)
        ]
    return [max(1.0, count) ** _BREADTH for count in counts]


def _laid_out(builder: _Builder, first: set[int], ends: Mapping[int, float], any_end: int) -> Network:
    order, chained = _rows(builder.before)
    place = np.empty(len(order), np.intp)
    place[order] = np.arange(len(order))
    where = place.tolist()
    phones = np.array(builder.phone)[order]
    sounds = builder.definition.senones[np.array(builder.sequence)[order]]
    senones, books = by_book(sounds)
    rank = np.zeros(len(builder.definition.book), np.intp)
    rank[senones] = np.arange(len(senones))
    stay, go = (values[:, builder.definition.moves[phones]].T for values in moves())
    # To stay is the rule: it is counted with each sound that is heard, and taken back where a state is entered.
    costs_of = (np.array(builder.cost, np.float32)[order] - stay[:, 0]).tolist()
    leave = go[:, 2].tolist()
    onward = go.copy()
    onward[:, :2] -= stay[:, 1:]
    onward[:-1, 2] = np.where(chained[1:], onward[:-1, 2] + np.array(costs_of[1:], np.float32), NEVER)
    stays = np.empty(len(senones), np.float32)
    stays[rank[sounds]] = stay

    exits: list[int] = []
    costs: list[float] = []
    sizes: list[int] = []
    inner = []  # phones
    for phone, before in enumerate(builder.before):
        if before is not None and not chained[where[phone]]:
            inner.append(where[phone])
            sizes.append(len(before))
            exits += [3 * where[source] + 2 for source in before]
            costs += [leave[where[source]] + costs_of[where[phone]] for source in before]
    join = {}
    for hub, sources in builder.left.items():
        join[hub] = len(sizes)
        sizes.append(len(sources))
        exits += [3 * where[source] + 2 for source in sources]
        costs += [leave[where[source]] for source in sources]
    joins = Best(sizes)
    numbers = joins.number.tolist()

    outer, border_joins, border_sizes, begin = [], [], [], []
    for phone, hubs in builder.entered.items():
        known = [numbers[join[hub]] for hub in hubs if hub in join]
        if known:
            outer.append(where[phone])
            border_sizes.append(len(known))
            border_joins += known
        if any_end in hubs or first.intersection(hubs):
            begin.append((3 * where[phone], costs_of[where[phone]]))
    borders = Best(border_sizes)
    at = np.empty(len(outer), np.intp)
    at[borders.number] = outer
    return Network(
        senones=senones,
        books=books,
        sound=rank[sounds].reshape(-1),
        stays=stays,
        go=onward.reshape(-1)[:-1],
        exits=np.array(exits, np.intp)[joins.order],
        costs=np.array(costs, np.float32)[joins.order],
        joins=joins,
        heads=3 * np.array(inner, np.intp),
        head_joins=joins.number[: len(inner)],
        borders=borders,
        border_joins=np.array(border_joins, np.intp)[borders.order],
        starts=3 * at,
        start_costs=np.array(costs_of, np.float32)[at],
        first=begin,
        ends=[(numbers[join[hub]], share) for hub, share in ends.items() if hub in join],
        any_end=numbers[join[any_end]],
        words=builder.words,
        word=np.array(builder.word)[order].tolist(),
        chained=chained.tolist(),
        inner=dict(zip(inner, numbers, strict=False)),
        outer=dict(zip(at.tolist(), range(len(outer)), strict=True)),
    )


def _rows(before: Sequence[list[int] | None]) -> tuple[list[int], Any]:
    """Phones in an order in which one often stands behind its only predecessor, and whether it does."""
    follower: dict[int, int] = {}
    behind = set()
    for phone, sources in enumerate(before):
        if sources is not None and len(sources) == 1 and sources[0] not in follower:
            follower[sources[0]] = phone
            behind.add(phone)
    order: list[int] = []
    for phone in range(len(before)):
        if phone not in behind:
            order.append(phone)
            while order[-1] in follower:
                order.append(follower[order[-1]])
    return order, np.array([phone in behind for phone in order])
