"""The acoustic model that comes with PocketSphinx, as it lies in its files (`en-us`, BSD licence).

It has 42 phones (39 of English, silence and two kinds of noise), each in the contexts of its neighbours: 137,053
triphones. A phone passes through three states, whose sounds are shared among triphones: 5,126 senones. A senone is a
weighting of the 128 normal distributions of its phone's codebook, in each of three streams of features.

The formats are those of CMU Sphinx (github.com/cmusphinx/pocketsphinx: `bin_mdef.c`, `ptm_mgau.c`, `tmat.c`).
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from functools import cache
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from ...errors import RecognitionError
from .resources import model_path

__all__ = ["Definition", "Floats", "Numbers", "definition", "densities", "moves", "weights"]

Floats: TypeAlias = npt.NDArray[np.float32]
Numbers: TypeAlias = npt.NDArray[np.int32]

#: PocketSphinx has logarithms to the base 1.0001, and divides those of weights by 1,024.
UNIT: Final = 1024 * math.log(1.0001)
#: How improbable a move is at least that the model allows.
_LEAST_MOVE: Final = 1e-4

#: Where in a word a phone stands, as the files number it.
INTERNAL, BEGIN, END, SINGLE = range(4)


@dataclass(frozen=True, slots=True)
class Definition:
    """Which phones there are, and of which senones they are made.

    number: of each phone by its name; silence: that of silence.
    senones: [sequence, 3], the senones of the three states.
    sequences: [place in the word, phone, left neighbour, right neighbour], the sequence of the triphone, -1 for none.
    alone: the sequence of each phone without neighbours; moves: where in `moves()` those of each phone are.
    book: of each senone.
    """

    number: dict[str, int]
    silence: int
    senones: Numbers
    sequences: Numbers
    alone: list[int]
    moves: Numbers
    book: Numbers


@cache
def definition() -> Definition:
    """Read `mdef`. Raises `RecognitionError` (`stt.model`)."""
    data = _content("mdef")
    try:
        return _definition(data)
    except (struct.error, ValueError, IndexError) as error:
        raise _damaged("mdef") from error


def _definition(data: bytes) -> Definition:
    if data[:4] != b"BMDF":
        raise ValueError
    place = 12 + struct.unpack_from("<i", data, 8)[0]  # behind a text that describes the format
    count, phones, states, _, senones, _, sequences, _, nodes, silence = struct.unpack_from("<10i", data, place)
    names = data[place + 40 :].split(b"\0", count)[:count]
    place += 40 + (sum(map(len, names)) + count + 3 & ~3) + 8 * nodes  # the names, and a tree that a table replaces
    fields = [("sequence", "<i4"), ("moves", "<i4"), ("context", "u1", 4)]
    entries = np.frombuffer(data, np.dtype(fields), phones, place)
    place += entries.nbytes + 4
    of_sequence = np.frombuffer(data, "<u2", sequences * states, place).reshape(sequences, states).astype(np.int32)

    own, triphones = entries[:count], entries[count:]
    where, phone, left, right = triphones["context"].T
    table = np.full((4, count, count, count), -1, np.int32)
    table[where, phone, left, right] = triphones["sequence"]
    book = np.zeros(senones, np.int32)
    book[of_sequence[own["sequence"]]] = np.arange(count)[:, None]
    book[of_sequence[triphones["sequence"]]] = phone[:, None]
    return Definition(
        {name.decode(): number for number, name in enumerate(names)},
        silence,
        of_sequence,
        table,
        own["sequence"].tolist(),
        own["moves"].astype(np.int32),
        book,
    )


@cache
def densities(name: str) -> list[Floats]:
    """Read `means` or `variances`: for each stream of features [codebook, distribution, value]."""
    data, place = _content(name), _behind_head(name)
    try:
        books, streams, count = struct.unpack_from("<3i", data, place)
        sizes = struct.unpack_from(f"<{streams}i", data, place + 12)
        values = np.frombuffer(data, "<f4", books * count * sum(sizes), place + 16 + 4 * streams).reshape(books, -1)
    except (struct.error, ValueError) as error:
        raise _damaged(name) from error
    parts = np.split(values, np.cumsum([count * size for size in sizes])[:-1], axis=1)
    return [part.reshape(books, count, size) for part, size in zip(parts, sizes, strict=True)]


@cache
def weights() -> list[Floats]:
    """Read `sendump`: for each stream of features [senone, distribution], what it counts."""
    data, place, length = _content("sendump"), 0, -1
    try:
        while length:  # texts that describe the format, up to an empty one
            length = struct.unpack_from("<i", data, place)[0]
            if b"cluster_count " in data[place : place + 20] and data[place + 18 : place + 19] != b"0":
                raise ValueError
            place += 4 + length
        rows, columns = struct.unpack_from("<2i", data, place)
        values = np.frombuffer(data, "u1", 3 * rows * columns, place + 8).reshape(3, rows, columns)
    except (struct.error, ValueError) as error:
        raise _damaged("sendump") from error
    table = np.exp(-UNIT * np.arange(256)).astype(np.float32)
    return [np.ascontiguousarray(table[stream.T]) for stream in values[:, :, : len(definition().book)]]


@cache
def moves() -> tuple[Floats, Floats]:
    """Read `transition_matrices`: log-probabilities [state, phone] to stay in a state, and to go on from it."""
    data, place = _content("transition_matrices"), _behind_head("transition_matrices")
    try:
        count, states, targets, size = struct.unpack_from("<4i", data, place)
        values = np.frombuffer(data, "<f4", size, place + 16).reshape(count, states, targets).astype(float)
    except (struct.error, ValueError) as error:
        raise _damaged("transition_matrices") from error
    values = values / values.sum(2, keepdims=True)
    logs = np.log(np.maximum(values, _LEAST_MOVE))
    # Nothing skips a state in this model.
    stay, go = (np.stack([logs[:, state, state + step] for state in range(states)]) for step in (0, 1))
    return stay.astype(np.float32), go.astype(np.float32)


@cache
def _content(name: str) -> bytes:
    try:
        return (model_path() / "en-us" / name).read_bytes()
    except OSError as error:
        raise _damaged(name) from error


def _behind_head(name: str) -> int:
    place = _content(name).find(b"endhdr\n")
    if place < 0:
        raise _damaged(name)
    return place + 11  # behind the mark of the byte order


def _damaged(name: str) -> RecognitionError:
    return RecognitionError.of("stt.model", what=f"its own model (the file {name!r})")
