"""JSpeech Grammar Format: what may be said, as text (W3C note of 2000-06-05, https://www.w3.org/TR/jsgf/).

    grammar = parse("#JSGF V1.0; grammar day; public <day> = [on] (monday | tuesday) [please];")
    grammar.accepts("on monday")     # True
    grammar.words()                  # {"on", "monday", "tuesday", "please"}

Read: rules, alternatives, groups, optionals, `*`, `+`, weights, tags, quoted words, comments, `<NULL>`, `<VOID>`. Tags
are skipped. Weights are checked and used by `sample()`; a recognizer takes all that is let through for equally likely.
Not read: `import`, and rules that contain themselves (`*` and `+` say what a telephone dialog needs of that). Words are
compared in lower case.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Final, NoReturn, TypeAlias

from .automaton import Builder, Machine, TooLarge
from .errors import GrammarError

__all__ = ["Grammar", "parse"]

#: How deep groups may be nested, and how long the text of a grammar may be.
_MOST_DEPTH: Final = 100
_MOST_CHARACTERS: Final = 1_000_000
#: How often `sample()` goes round in a `*` or `+` at most.
_MOST_ROUNDS: Final = 4
#: The number of words from which on it does not.
_LONG: Final = 200


@dataclass(frozen=True, slots=True)
class _Word:
    text: str


@dataclass(frozen=True, slots=True)
class _Rule:
    name: str
    place: int


@dataclass(frozen=True, slots=True)
class _Sequence:
    parts: tuple[_Node, ...]


@dataclass(frozen=True, slots=True)
class _Choice:
    parts: tuple[_Node, ...]
    weights: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class _Repeat:
    part: _Node
    least: int  # 0 or 1
    many: bool


_Node: TypeAlias = "_Word | _Rule | _Sequence | _Choice | _Repeat"
_NULL: Final = _Sequence(())
_VOID: Final = _Choice((), ())


@dataclass(frozen=True)
class Grammar:
    """A grammar that was parsed: what its public rules let through. Made by `parse()`."""

    name: str
    #: The names of the rules that may be said by themselves.
    public: tuple[str, ...]
    _rules: Mapping[str, _Node] = field(repr=False)

    @cached_property
    def machine(self) -> Machine:
        """What it lets through as an automaton. Raises `GrammarError` (`jsgf.size`) when it is too large."""
        builder = Builder()
        start, end = builder.state(), builder.state()
        try:
            for name in self.public:
                self._build(builder, self._rules[name], start, end)
            return builder.machine(start, end)
        except TooLarge:
            raise GrammarError.of("jsgf.size", grammar=self.name) from None

    def words(self) -> frozenset[str]:
        """The words that can be said, in lower case. Raises `GrammarError` (`jsgf.size`)."""
        return frozenset(word for _, word, _ in self.machine.arcs())

    def accepts(self, text: str) -> bool:
        """Whether the words of `text` are in the grammar. Raises `GrammarError` (`jsgf.size`)."""
        return self.machine.accepts(text.lower().split())

    def sample(self, rng: random.Random) -> str:
        """Something that the grammar lets through, by its weights; "" also if it lets nothing through.

        Raises `GrammarError` (`jsgf.size`).
        """
        if not self.machine.moves[0]:
            return ""  # and what is too large to be compiled is too large to be said
        said: list[str] = []
        names = [name for name in self.public if self._sayable(self._rules[name])]
        if names:
            self._say(self._rules[rng.choice(names)], rng, said)
        return " ".join(filter(None, said))

    def _build(self, builder: Builder, node: _Node, start: int, end: int) -> None:
        match node:
            case _Word():
                builder.word(start, node.text, end)
            case _Sequence():
                parts = node.parts
                for part in parts[:-1]:
                    between = builder.state()
                    self._build(builder, part, start, between)
                    start = between
                if parts:
                    self._build(builder, parts[-1], start, end)
                else:
                    builder.free(start, end)
            case _Choice():
                for part in node.parts:
                    if type(part) is _Word:
                        builder.word(start, part.text, end)
                    else:
                        self._build(builder, part, start, end)
            case _Repeat():
                # States of its own: what goes round must not be entered from outside half way.
                before, after = builder.state(), builder.state()
                builder.free(start, before)
                builder.free(after, end)
                self._build(builder, node.part, before, after)
                if node.many:
                    builder.free(after, before)
                if not node.least:
                    builder.free(start, end)
            case _Rule():
                self._build(builder, self._rules[node.name], start, end)

    def _say(self, node: _Node, rng: random.Random, said: list[str]) -> None:
        match node:
            case _Word(text):
                said.append(text)
            case _Rule(name):
                self._say(self._rules[name], rng, said)
            case _Sequence(parts):
                for part in parts:
                    self._say(part, rng, said)
            case _Choice(parts, weights):
                sayable = [(p, w) for p, w in zip(parts, weights, strict=True) if self._sayable(p)]
                total = sum(w for _, w in sayable)
                chosen = rng.choices([p for p, _ in sayable], [w for _, w in sayable] if total > 0 else None)
                self._say(chosen[0], rng, said)
            case _Repeat(part, least, many):
                if not self._sayable(part):
                    return
                most = 1 if not many else _MOST_ROUNDS if len(said) < _LONG else least
                for _ in range(rng.randint(least, most)):
                    said.append("")  # a round counts, also one without words
                    self._say(part, rng, said)

    @cached_property
    def _known(self) -> dict[str, bool]:
        return {}

    def _sayable(self, node: _Node) -> bool:
        """Whether anything, were it nothing, can be said for it: a `<VOID>` cannot."""
        match node:
            case _Word():
                return True
            case _Rule(name):
                if name not in self._known:
                    self._known[name] = self._sayable(self._rules[name])
                return self._known[name]
            case _Sequence(parts):
                return all(self._sayable(part) for part in parts)
            case _Choice(parts):
                return any(self._sayable(part) for part in parts)
            case _Repeat(part, least, _):
                return least == 0 or self._sayable(part)


@lru_cache(maxsize=64)
def parse(text: str) -> Grammar:
    """Read a grammar. Raises `GrammarError`: `jsgf.syntax` or `jsgf.rule` with line and column, or `jsgf.size`.

    The same text gives the same object, as long as it is one of the last 64: the recognizer and turn taking ask for the
    same grammars, each many times.
    """
    return _Parser(text).grammar()


_HEADER: Final = re.compile(r"\ufeff?#JSGF[ \t]+V1\.0(?:[ \t]+[\w.\-]+){0,2}[ \t]*;")
#: A token, with the space before it. What comes most often is looked for first; no two of them begin alike but comments
#: and weights.
_TOKEN: Final = re.compile(
    r"""\s*+(?:(?P<word>[^\s;=|*+<>()\[\]{}/"\\]+)
      | (?P<sign>[;=|*+()\[\]])
      | (?P<rule><[^<>\s|*+;=()\[\]{}/"\\]+>)
      | (?P<comment>//[^\n]*|/\*.*?\*/)
      | (?P<weight>/\s*[0-9]*\.?[0-9]+(?:[eE][+-]?[0-9]+)?[fF]?\s*/)
      | (?P<quoted>"(?:[^"\\]|\\.)*")
      | (?P<tag>\{(?:[^{}\\]|\\.)*\})
      | (?P<end>\Z))""",
    re.VERBOSE | re.DOTALL,
)
_SPACE: Final = re.compile(r"\s*")


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        if len(text) > _MOST_CHARACTERS:
            raise GrammarError.of("jsgf.size", grammar=f"{text[:20]}…")
        header = _HEADER.match(text)
        if header is None:
            self._fail(0, "it does not begin with `#JSGF V1.0;`")
        self._tokens = self._scan(header.end())
        self._next = 0
        self._depth = 0
        self._words: dict[str, _Word] = {}  # most come several times

    def _fail(self, place: int, error: str) -> NoReturn:
        line, column = self._where(place)
        raise GrammarError.of("jsgf.syntax", line=line, column=column, error=error)

    def _where(self, place: int) -> tuple[int, int]:
        return self._text.count("\n", 0, place) + 1, place - self._text.rfind("\n", 0, place)

    def _scan(self, place: int) -> list[tuple[str, str, int]]:
        text = self._text
        read = _TOKEN.match
        found: list[tuple[str, str, int]] = []
        kind = ""
        while kind != "end":
            match = read(text, place)
            if match is None:
                place = _SPACE.match(text, place).end()  # type: ignore[union-attr]  # it may be empty
                self._fail(place, f"{text[place]!r} does not fit here")
            kind = match.lastgroup or ""
            if kind != "comment":
                found.append((kind, match[kind], match.start(kind)))
            place = match.end()
        return found

    def _take(self, text: str = "", kind: str = "") -> tuple[str, int] | None:
        """The next token if it is this one."""
        found, value, place = self._tokens[self._next]
        if (kind and found == kind) or (text and value == text and found in ("sign", "word")):
            self._next += 1
            return value, place
        return None

    def _need(self, text: str = "", kind: str = "", what: str = "") -> tuple[str, int]:
        found = self._take(text, kind)
        if found is None:
            _, value, place = self._tokens[self._next]
            self._fail(
                place,
                f"{what or repr(text)} is missing before {value!r}"
                if value
                else f"it ends without {what or repr(text)}",
            )
        return found

    def grammar(self) -> Grammar:
        self._need("grammar", what="`grammar name;`")
        name = self._need(kind="word", what="the name of the grammar")[0]
        self._need(";")
        rules: dict[str, _Node] = {}
        public: list[str] = []
        while self._tokens[self._next][0] != "end":
            if found := self._take("import"):
                self._fail(found[1], "`import` is not supported; write the rules into the same text")
            if self._take("public"):
                public.append(self._tokens[self._next][1][1:-1])
            rule, place = self._need(kind="rule", what="a rule, `<name> = ...;`")
            if rule[1:-1] in rules or rule in ("<NULL>", "<VOID>"):
                self._fail(place, f"{rule} is defined already")
            self._need("=")
            rules[rule[1:-1]] = self._choice()
            self._need(";")
        if not public:
            self._fail(len(self._text), "no rule is `public`")
        self._check(rules)
        return Grammar(name, tuple(public), rules)

    def _choice(self) -> _Node:
        parts: list[_Node] = []
        weights: list[float] = []
        first = self._tokens[self._next][2]
        tokens = self._tokens
        weighted = tokens[self._next][0] == "weight"
        while True:
            kind, value, _ = tokens[self._next]
            if kind == "weight":
                self._next += 1
            parts.append(self._sequence())
            if (kind == "weight") != weighted:
                self._fail(first, "either all alternatives have a weight or none")
            weights.append(float(value.strip("/ \t\r\nfF")) if weighted else 1.0)
            kind, value, _ = tokens[self._next]
            if value != "|" or kind != "sign":
                break
            self._next += 1
        if len(parts) == 1:
            return parts[0]
        return _Choice(tuple(parts), tuple(weights))

    def _sequence(self) -> _Node:
        parts: list[_Node] = []
        tokens = self._tokens
        while (item := self._item()) is not None:
            kind, value, _ = tokens[self._next]
            if kind == "sign" and value in "*+":
                self._next += 1
                item = _Repeat(item, int(value == "+"), many=True)
                kind = tokens[self._next][0]
            while kind == "tag":
                self._next += 1
                kind = tokens[self._next][0]
            parts.append(item)
        if not parts:
            self._fail(tokens[self._next][2], "words are missing; nothing is `<NULL>`")
        return parts[0] if len(parts) == 1 else _Sequence(tuple(parts))

    def _item(self) -> _Node | None:
        kind, value, place = self._tokens[self._next]
        if kind == "sign" and value not in "([":
            return None
        match kind:
            case "word":
                self._next += 1
                return self._word(value.lower())
            case "rule":
                self._next += 1
                name = value[1:-1]
                return _NULL if name == "NULL" else _VOID if name == "VOID" else _Rule(name, place)
            case "quoted":
                self._next += 1
                words = re.sub(r"\\(.)", r"\1", value[1:-1], flags=re.DOTALL).lower().split()
                if not words:
                    self._fail(place, "an empty word; nothing is `<NULL>`")
                return self._word(words[0]) if len(words) == 1 else _Sequence(tuple(map(self._word, words)))
            case "sign":
                self._next += 1
                self._depth += 1
                if self._depth > _MOST_DEPTH:
                    self._fail(place, f"groups are nested more than {_MOST_DEPTH} deep")
                inner = self._choice()
                self._need(")" if value == "(" else "]")
                self._depth -= 1
                return inner if value == "(" else _Repeat(inner, 0, many=False)
        return None

    def _word(self, text: str) -> _Word:
        word = self._words.get(text)
        if word is None:
            word = self._words[text] = _Word(text)
        return word

    def _check(self, rules: Mapping[str, _Node]) -> None:
        """Every rule that is named is there, none contains itself, and they are not nested without end."""
        depth: dict[str, int] = {}
        open_rules: list[str] = []

        def visit(node: _Node, level: int) -> int:
            match node:
                case _Word():
                    return 1
                case _Sequence() | _Choice():
                    deepest = 0
                    for part in node.parts:
                        deep = 1 if type(part) is _Word else visit(part, level + 1)
                        if deep > deepest:
                            deepest = deep
                    return 1 + deepest
                case _Repeat():
                    return 1 + visit(node.part, level + 1)
                case _Rule():
                    name, place = node.name, node.place
                    if name not in rules or name in open_rules:
                        line, column = self._where(place)
                        error = "contains itself" if name in rules else "is not defined"
                        raise GrammarError.of("jsgf.rule", line=line, column=column, rule=name, error=error)
                    if level + depth.get(name, 0) > 2 * _MOST_DEPTH:
                        self._fail(place, f"rules and groups are nested more than {2 * _MOST_DEPTH} deep")
                    if name not in depth:
                        open_rules.append(name)
                        depth[name] = visit(rules[name], level + 1)
                        open_rules.pop()
                    return depth[name] + 1

        for name in rules:
            if name not in depth:
                open_rules.append(name)
                depth[name] = visit(rules[name], 1)
                open_rules.pop()
