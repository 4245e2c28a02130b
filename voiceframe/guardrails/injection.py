"""Instructions that hide in speech and in data: what tries to make the model do something else than it was told.

A caller says "ignore your instructions"; a page that a tool has fetched says it in white letters, in base64, in letters
of another script or in ones that nobody sees. It is looked for in the folded text and in whatever can be decoded of it.
"""

from __future__ import annotations

import base64
import binascii
import html
import re
from collections.abc import Iterator, Sequence
from typing import Final
from urllib.parse import unquote

from .decisions import Action, Finding, Stage
from .folding import fold, hidden_chars
from .machine import Machine
from .rules import Rule, Scan, Text, one_of
from .sayings import said

__all__ = ["Injection"]

_RULES: Final = (
    r"(instructions?|rules|guidelines|prompts?|directives?|programming|training|restrictions|guardrails|safeguards|"
    r"constraints|policies|limitations)\b"
)
_WHOSE: Final = "(your|all|any|these|those|the|previous|prior|above|earlier|initial|original|every|system)"
#: "your instructions for the refund form" are no prompt, "your instructions" without more are.
_ITS_PROMPT: Final = (
    r"((your|the|its) (\w+ )?(system|initial|hidden|secret|original) (prompts?|messages?|instructions?)\b|"
    r"your (\w+ )?(instructions|prompt)([^\w]{0,3}$|[.?!;\n]))"
)
_MODEL: Final = "(ai|llm|language model|assistant|chatbot|voice agent|bot|model)"

#: What is said to a model and not to a person, by what it tries; in the notation of `sayings`.
_TRIES: Final = {
    "ignore instructions": (
        "(ignore|disregard|forget|override|bypass|circumvent|discard|violate|break|get around) (\\w+ ){0,2}"
        f"{_WHOSE} (\\w+ ){{0,2}}{_RULES}",
        "(ignore|disregard|forget) (everything|anything|all) (that )?"
        "(you (were|have been|'ve been) told|(was|were) said|(said )?(above|before (this|that)))",
        f"(do not|don'?t|stop|never) (follow|obey|following|obeying) {_WHOSE} (\\w+ ){{0,2}}{_RULES}",
        r"(new|updated|real|actual|your (new|only|real)) (system )?(instructions?|directives?)[^\w]{0,2}([:=]|are|is)",
        r"(vergiss|ignoriere?) (alle|deine|die) (\w+ ){0,2}(anweisungen|instruktionen|regeln)\b",
        r"(ignora|olvida) (todas|tus|las) (\w+ ){0,2}(instrucciones|reglas)\b",
        r"(ignore|ignorez|oublie|oubliez) (toutes|tes|vos|les) (\w+ ){0,2}(instructions|regles|consignes)\b",
    ),
    "role play": (
        r"(you are|you're|your are) now (a|an|the|in|my|no longer|free|dan|called|going|operating)\b",
        "(pretend|imagine|act as if|act like|behave as if|roleplay|role play) (that )?(you|to be|you're|as) ~6 "
        r"(no|not|without|any|unrestricted|unfiltered|evil|hacker|developer|admin|administrator|dan|jailbroken|rules|"
        r"restrictions)\b",
        r"from now on (you|your) (are|will|must|shall|only|act|answer|respond|name|obey)\b",
        r"(developer|debug|god|admin|sudo|jailbreak|dan|unrestricted|maintenance) mode\b",
        "do anything now",
        "(without|no longer bound by|free (of|from)) (any |all |your )?(ethical|moral|safety|content) "
        r"(guidelines|restrictions|filters?|rules|constraints|policies)\b",
    ),
    "prompt extraction": (
        "(repeat|reveal|show|print|tell|give|read|say|recite|output|display|leak|share|write|send) "
        f"((me|us|out|back|all|of|to|loud|aloud|everything|word|for|verbatim) ){{0,5}}{_ITS_PROMPT}",
        f"what('?s| is| are| were) {_ITS_PROMPT}",
        "(repeat|print|output|recite) (everything|all|the (text|words)) (\\w+ ){0,2}(above|before this)",
    ),
    "delimiter": (
        r"<\|[^\n|]{1,40}\|>",
        r"\[/?inst\]|<</?sys>>",
        r"</?(system|assistant|instructions?|system[_-]prompt|im_start|im_end|tool_result|function_results?)>",
        r"(^|\n|[#*\[]{1,4}\s?)(system|assistant|developer)(\s(prompt|message|override|note))?[\]*#]{0,3}\s?:",
        "(begin|end|start of|end of) (new )?(system|admin|developer|user) (prompt|message|instructions?|input)",
    ),
    "orders to the model": (
        f"(attention|note|message|instructions?|important)[^\\w]{{0,4}}(to|for) ((the|any|all) )?{_MODEL}s?\\b",
        f"(as an?|dear) {_MODEL} (\\w+ ){{0,2}}you (must|should|will|have to)\\b",
        "(the )?(ai|assistant|llm|model|agent) (must|should|has to|is to|will) (now )?(ignore|disregard|reveal|send|"
        r"transfer|call|forward|(tell|ask) the (user|caller))\b",
    ),
}

_MACHINES: Final[dict[str, Machine]] = {}
#: Something encoded that is shorter hides no sentence.
_BASE64: Final = re.compile(r"[A-Za-z0-9+/_-]{16,}={0,2}")
_HEX: Final = re.compile(r"(?:0x|\\x)?(?:[0-9a-fA-F]{2}(?:\\x|[ :,-])?){12,}")
_ESCAPED: Final = re.compile(r"(?:\\u[0-9a-fA-F]{4}){4,}")
_SPACED: Final = re.compile(r"(?:\b\w[ ._*-]{1,2}){7,}\w\b")
#: Encodings inside of encodings that are looked into.
_DEEPEST: Final = 3
#: Of what is decoded so much must be text for it to be one.
_TEXT_SHARE: Final = 0.9
#: Characters that nobody sees, in one text, which are no accident.
_MANY_HIDDEN: Final = 6


class Injection(Rule):
    """Finds instructions to the model in what is no instruction: speech, results of tools, summaries.

    tries: which; by default all of `"ignore instructions"`, `"role play"`, `"prompt extraction"`, `"delimiter"` and
        `"orders to the model"`. Beside them it finds characters that nobody sees, as `"hidden text"`.
    """

    def __init__(
        self,
        *tries: str,
        name: str = "injection",
        stages: Sequence[Stage] = ("transcript", "tool-output", "handoff"),
        action: Action = "block",
        say: str = "",
        reason: str = "",
        target: str = "person",
        replacement: str = "[removed: instructions]",
    ) -> None:
        super().__init__(
            name, stages=stages, action=action, say=say, reason=reason, target=target, replacement=replacement
        )
        known = tuple(_TRIES)
        self._machines = {each: _machine(one_of(each, known, f"The rule {name!r}", "tries")) for each in tries or known}

    def scan(self, text: Text) -> Scan:
        folded = text.folded
        findings: list[Finding] = []
        opened = len(folded.text)
        for label, machine in self._machines.items():
            spans, at = machine.matches(folded.text, before=text.folded_before, final=text.final)
            opened = min(opened, at)
            findings += [Finding(*folded.span(start, end), label) for start, end in spans]
        if hidden_chars(text.raw) >= _MANY_HIDDEN:
            findings.append(Finding(0, len(text.raw), "hidden text"))
        for start, end, decoded in _decoded(text.raw):
            label = self._inside(decoded, 1)
            if label:
                findings.append(Finding(start, end, label))
        findings.sort(key=lambda finding: (finding.start, -finding.end))
        return Scan(findings, len(text.raw) if text.final else folded.start(opened))

    def _inside(self, text: str, depth: int) -> str:
        """What a decoded text tries; empty for nothing."""
        folded = fold(text).text
        for label, machine in self._machines.items():
            if machine.matches(folded).spans:
                return f"encoded: {label}"
        if depth < _DEEPEST:
            for _, _, decoded in _decoded(text):
                if label := self._inside(decoded, depth + 1):
                    return label
        return ""


def _machine(label: str) -> Machine:
    machine = _MACHINES.get(label)
    if machine is None:
        start = "" if label == "delimiter" else r"\b"
        machine = _MACHINES[label] = Machine("|".join(f"{start}(?:{said(each)})" for each in _TRIES[label]))
    return machine


def _decoded(text: str) -> Iterator[tuple[int, int, str]]:
    """What of a text can be decoded: where it stands, and what it says."""
    if text.count("%") >= 6 and (plain := unquote(text)) != text:
        yield 0, len(text), plain
    if text.count("&#") >= 4 and (plain := html.unescape(text)) != text:
        yield 0, len(text), plain
    for match in _ESCAPED.finditer(text):
        yield match.start(), match.end(), match[0].encode().decode("unicode_escape")
    for match in _SPACED.finditer(text):
        yield match.start(), match.end(), _closed_up(match[0])
    for match in _HEX.finditer(text):
        raw = re.sub(r"\\x|0x|[ :,-]", "", match[0])
        if plain := _as_text(bytes.fromhex(raw[: len(raw) // 2 * 2])):
            yield match.start(), match.end(), plain
    for match in _BASE64.finditer(text):
        for plain in _from_base64(match[0]):
            yield match.start(), match.end(), plain


def _from_base64(text: str) -> Iterator[str]:
    text = text.rstrip("=").replace("-", "+").replace("_", "/")
    text = text[: -1 if len(text) % 4 == 1 else None]
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        return
    if plain := _as_text(raw):
        yield plain


def _as_text(raw: bytes) -> str:
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        text = raw.decode("utf-16-le", "replace") if raw[1::2].count(0) * 2 > len(raw) * _TEXT_SHARE / 2 else ""
    shown = sum(char.isprintable() or char.isspace() for char in text)
    return text if text and shown >= len(text) * _TEXT_SHARE else ""


def _closed_up(text: str) -> str:
    """Letters that stand apart, as words: two spaces or a mark with a space part them, where there are some."""
    words = re.split(r"[ ._*-]{2}", text)
    return " ".join(re.sub(r"[ ._*-]", "", word) for word in words)
