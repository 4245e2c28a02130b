"""Grammars: what is read, what is let through, and how a mistake is told."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voiceframe.automaton import MOST_STATES, Builder, Machine
from voiceframe.errors import GrammarError
from voiceframe.jsgf import Grammar, parse


def rule(text: str) -> Grammar:
    return parse(f"#JSGF V1.0; grammar g; public <s> = {text};")


@pytest.mark.parametrize(
    ("text", "inside", "outside"),
    [
        ("yes | no", ["yes", "no", "YES"], ["", "yes no", "maybe"]),
        ("[please] call (me | him)", ["call me", "please call him"], ["please", "call", "call me him"]),
        ("a* b", ["b", "a b", "a a a b"], ["a", "b b"]),
        ("(a b)+", ["a b", "a b a b"], ["", "a", "a b a"]),
        ("[a] [b] [c]", ["", "a c", "b", "a b c"], ["c a", "b b"]),
        ("/3/ one | /0.5/ two", ["one", "two"], ["three"]),
        ("red {colour = 'red'} | blue {b} {c}", ["red", "blue"], ["colour"]),
        ('"New York" | "o\'clock" | "a \\" b"', ["new york", "o'clock", 'a " b'], ["york"]),
        ("a // not b\n /* nor\n c */ d", ["a d"], ["a"]),
        ("a | <NULL>", ["", "a"], ["a a"]),
        ("a | b <VOID>", ["a"], ["b"]),
        ("[ /2/ a | /1/ b ] c", ["c", "a c", "b c"], ["a"]),
    ],
)
def test_it_lets_through_what_the_rule_says(text: str, inside: list[str], outside: list[str]) -> None:
    grammar = rule(text)
    assert [said for said in inside if not grammar.accepts(said)] == []
    assert [said for said in outside if grammar.accepts(said)] == []


def test_rules_name_each_other_in_any_order_and_several_may_be_said() -> None:
    grammar = parse(
        "#JSGF V1.0 UTF-8 en; grammar com.acme.day;\n"
        "public <on> = on <day>; <day> = monday | tuesday; public <at> = at noon; <unused> = <day> x;"
    )
    assert grammar.name == "com.acme.day"
    assert grammar.public == ("on", "at")
    assert grammar.accepts("on tuesday")
    assert grammar.accepts("at noon")
    assert not grammar.accepts("monday")
    assert grammar.words() == {"on", "at", "noon", "monday", "tuesday"}


@pytest.mark.parametrize(
    ("text", "line", "column", "error"),
    [
        ("grammar g; public <a> = b;", 1, 1, "#JSGF"),
        ("#JSGF V2.0; grammar g; public <a> = b;", 1, 1, "#JSGF"),
        ("#JSGF V1.0; public <a> = b;", 1, 13, "grammar"),
        ("#JSGF V1.0; grammar g;\npublic <a> = b", 2, 15, "without ';'"),
        ("#JSGF V1.0; grammar g;\npublic <a> = (b | );", 2, 19, "words are missing"),
        ("#JSGF V1.0; grammar g;\npublic <a> = (b;", 2, 16, "')' is missing"),
        ("#JSGF V1.0; grammar g;\n\npublic <a> = b } c;", 3, 16, "does not fit"),
        ("#JSGF V1.0; grammar g; <a> = b;", 1, 32, "public"),
        ("#JSGF V1.0; grammar g; public <a> = b; <a> = c;", 1, 40, "already"),
        ("#JSGF V1.0; grammar g; import <x.y>; public <a> = b;", 1, 24, "import"),
        ("#JSGF V1.0; grammar g; public <a> = /2/ b | c;", 1, 37, "weight"),
        ('#JSGF V1.0; grammar g; public <a> = "";', 1, 37, "empty"),
        ("#JSGF V1.0; grammar g; public <a> = b **;", 1, 40, "';' is missing"),
    ],
)
def test_a_mistake_is_told_with_line_and_column(text: str, line: int, column: int, error: str) -> None:
    with pytest.raises(GrammarError) as caught:
        parse(text)
    assert caught.value.code == "jsgf.syntax"
    assert f"line {line}, column {column}:" in caught.value.message
    assert error in caught.value.message


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ("public <a> = b <c>;", "<c> at line 1, column 39 is not defined"),
        ("public <a> = b | x <a>;", "contains itself"),
        ("public <a> = <b>; <b> = [<c>]; <c> = x <b>;", "contains itself"),
        ("public <a> = x; <unused> = <gone>;", "is not defined"),
    ],
)
def test_rules_that_are_missing_or_contain_themselves_are_named(body: str, error: str) -> None:
    with pytest.raises(GrammarError) as caught:
        parse(f"#JSGF V1.0; grammar g; {body}")
    assert caught.value.code == "jsgf.rule"
    assert error in caught.value.message


def test_what_would_blow_up_is_refused() -> None:
    doubling = "".join(f"<r{n}> = <r{n + 1}> <r{n + 1}>;" for n in range(30))
    with pytest.raises(GrammarError, match=r"jsgf\.size"):
        parse(f"#JSGF V1.0; grammar g; public <a> = <r0>; {doubling} <r30> = x;").accepts("x")
    same = "".join(f"<r{n}> = <r{n + 1}> | <r{n + 1}>;" for n in range(30))
    with pytest.raises(GrammarError, match=r"jsgf\.size"):
        parse(f"#JSGF V1.0; grammar g; public <a> = <r0>; {same} <r30> = x;").sample(random.Random(1))
    rounds = "(" * 20 + "a" + ")+" * 20
    assert len(rule(rounds).sample(random.Random(1)).split()) < 2_000
    assert rule("(" * 20 + "<NULL>" + ")+" * 20).sample(random.Random(1)) == ""
    # The subsets of "a word from the end of a row" double with each place.
    with pytest.raises(GrammarError, match=r"jsgf\.size"):
        rule("(a | b)* a " + "(a | b) " * 20).accepts("a")
    with pytest.raises(GrammarError, match="nested"):
        rule("(" * 101 + "a" + ")" * 101)
    chain = "".join(f"<r{n}> = <r{n + 1}>;" for n in range(300))
    with pytest.raises(GrammarError, match="nested"):
        parse(f"#JSGF V1.0; grammar g; {chain} <r300> = x; public <a> = <r0>;")
    with pytest.raises(GrammarError, match=r"jsgf\.size"):
        parse("#JSGF V1.0;" + " " * 1_000_000)


def test_a_long_list_of_words_is_not_too_large() -> None:
    grammar = rule(" | ".join(f"word{n} other{n}" for n in range(5_000)))
    assert grammar.accepts("word4999 other4999")
    assert not grammar.accepts("word1 other2")


def test_equal_endings_become_one() -> None:
    assert len(rule("a b c | x b c | y b c").machine.moves) == 4
    assert rule("<VOID>").machine == Machine(({},), frozenset())


def test_samples_follow_the_weights() -> None:
    rng = random.Random(1)
    drawn = [rule("/9/ often | /1/ seldom | /0/ never").sample(rng) for _ in range(200)]
    assert set(drawn) == {"often", "seldom"}
    assert drawn.count("often") > 150
    assert rule("<VOID>").sample(rng) == ""


WORDS = st.sampled_from(["a", "b", "c"])
EXPRESSIONS = st.recursive(
    WORDS,
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=3).map(lambda parts: f"({' | '.join(parts)})"),
        st.lists(inner, min_size=1, max_size=3).map(lambda parts: f"({' '.join(parts)})"),
        inner.map(lambda part: f"[{part}]"),
        inner.map(lambda part: f"({part})*"),
        inner.map(lambda part: f"({part})+"),
    ),
    max_leaves=8,
)


@given(EXPRESSIONS, st.integers(0, 2**32))
def test_what_it_samples_it_lets_through(text: str, seed: int) -> None:
    grammar = rule(text)
    rng = random.Random(seed)
    assert all(grammar.accepts(grammar.sample(rng)) for _ in range(5))


@given(EXPRESSIONS, st.lists(WORDS, max_size=6))
def test_it_reads_as_a_regular_expression_does(text: str, words: list[str]) -> None:
    import re

    pattern = text.replace(" | ", "|").replace(" ", "").replace("[", "(").replace("]", ")?")
    assert rule(text).accepts(" ".join(words)) == bool(re.fullmatch(pattern, "".join(words)))


@given(EXPRESSIONS, st.lists(WORDS, max_size=5), st.lists(WORDS, max_size=5))
def test_a_sentence_can_be_taken_out(text: str, words: list[str], others: list[str]) -> None:
    machine = rule(text).machine
    less = machine.without(words)
    assert not less.accepts(words)
    if others != words:
        assert less.accepts(others) == machine.accepts(others)


@settings(max_examples=300)
@given(st.text(alphabet='<>()[]{}|=;*+/"\\ ab1.\nÄ', max_size=60) | st.text(max_size=30))
def test_no_text_breaks_it(text: str) -> None:
    for whole in (text, f"#JSGF V1.0; grammar g; public <a> = {text};", f"#JSGF V1.0; {text}"):
        try:
            grammar = parse(whole)
            grammar.accepts("a b")
            assert len(grammar.machine.moves) <= MOST_STATES
        except GrammarError:
            pass  # any other exception is a fault


# -- the same machine, however it is found


def plainly(builder: Builder, start: int, end: int) -> Machine:
    """The smallest machine by the book: sets of states, and pairs of states that something tells apart."""

    def closed(states: set[int]) -> frozenset[int]:
        found = set(states)
        while more := {target for state in found for target in builder._free[state]} - found:
            found |= more
        return frozenset(found)

    order = [closed({start})]
    rows: list[dict[str, int]] = []
    for subset in order:
        row: dict[str, int] = {}
        for word in sorted({word for state in subset for word, _ in builder._words[state]}):
            reached = closed({to for state in subset for found, to in builder._words[state] if found == word})
            if reached not in order:
                order.append(reached)
            row[word] = order.index(reached)
        rows.append(row)
    ends = {number for number, subset in enumerate(order) if end in subset}
    alive = set(ends)
    while more := {n for n, row in enumerate(rows) if not alive.isdisjoint(row.values())} - alive:
        alive |= more
    rows = [{word: to for word, to in row.items() if to in alive} if n in alive else {} for n, row in enumerate(rows)]
    differ = {(a, b) for a in range(len(rows)) for b in range(len(rows)) if (a in ends) != (b in ends)}
    differ |= {(a, b) for a in range(len(rows)) for b in range(len(rows)) if rows[a].keys() != rows[b].keys()}
    while apart := {
        (a, b)
        for a in range(len(rows))
        for b in range(len(rows))
        if (a, b) not in differ and any((rows[a][word], rows[b][word]) in differ for word in rows[a])
    }:
        differ |= apart
    same = [next(b for b in range(len(rows)) if (a, b) not in differ) for a in range(len(rows))]
    numbers = [same[0]]
    made: list[dict[str, int]] = []
    for state in numbers:
        for word in sorted(rows[state]):
            if same[rows[state][word]] not in numbers:
                numbers.append(same[rows[state][word]])
        made.append({word: numbers.index(same[rows[state][word]]) for word in sorted(rows[state])})
    return Machine(tuple(made), frozenset(n for n, state in enumerate(numbers) if state in ends))


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_the_machine_is_the_smallest_and_its_states_are_numbered_by_sorted_words(data: st.DataObject) -> None:
    size = data.draw(st.integers(2, 9))
    rounds = data.draw(st.booleans())
    builder = Builder()
    for _ in range(size):
        builder.state()
    state = st.integers(0, size - 1)
    for start, word, end in data.draw(st.lists(st.tuples(state, st.sampled_from("abc."), state), max_size=24)):
        if not rounds and start >= end:
            continue  # a machine that never goes round is made otherwise
        if word == ".":
            if start != size - 1:  # nothing goes on freely from the end of a rule
                builder.free(start, end)
        else:
            builder.word(start, word, end)
    machine = builder.machine(0, size - 1)
    expected = plainly(builder, 0, size - 1)
    assert [list(row.items()) for row in machine.moves] == [list(row.items()) for row in expected.moves]
    assert machine.final == expected.final


def test_the_same_text_is_read_once() -> None:
    text = "#JSGF V1.0; grammar g; public <s> = once;"
    assert parse(text) is parse(text)
    assert parse(text) is not parse(text + " ")
    for _ in range(2):  # a mistake is told each time
        with pytest.raises(GrammarError):
            parse("#JSGF V1.0; grammar g; public <s> = ;")
