"""Text of a reply that is held back until it can be judged.

It goes on by whole sentences, which is what a voice waits for anyway. A sentence goes as soon as its end is certain,
unless what a rule looks for lies over that end or may yet come to do so: then what is behind it must come first. What
goes on does not depend on the pieces in which the text comes.
"""

from __future__ import annotations

from typing import Final

from ...guardrails.decisions import Finding, Hit
from ...guardrails.policy import Policy
from ...guardrails.rules import CONTEXT, Rule, Text
from ..tts.sentences import Sentences

__all__ = ["Held", "Portion"]

#: So much is held back at most, in characters. Whatever may then still become a finding counts as one.
MOST_HELD: Final = 1_200


class Portion:
    """A piece of text that can be judged, with what the quick rules have found in it."""

    __slots__ = ("hits", "text")

    def __init__(self, text: str, hits: list[Hit]) -> None:
        self.text = text
        self.hits = hits


class Held:
    """The text of one reply that has not gone on."""

    __slots__ = ("_before", "_ends", "_fed", "_lead", "_policy", "_sentences", "blocked", "text")

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self.text = ""
        self._before = ""  # what went on last, as it was
        self._lead = ""  # and behind that, what went on with a pause although it may be the beginning of something
        self._sentences = Sentences()
        self._fed = 0  # where in `text` the sentence begins whose end is not known
        self._ends: list[int] = []
        #: Nothing of this reply goes on any more: a sentence of it was blocked.
        self.blocked = False

    def feed(self, text: str) -> list[Portion]:
        """More text. What of it all can be judged now."""
        self.text += text
        for sentence in self._sentences.feed(text):
            self._fed += len(sentence)
            self._ends.append(self._fed)
        if not self._ends:
            return []
        hits, opened, opener = self._scan(final=False)
        if len(self.text) > MOST_HELD and opened <= self._ends[0] and opener is not None:
            whole = Finding(opened, len(self.text), opener.name)
            hits = [*hits, Hit(opener, opener.action, (whole,), reason="it has no end")]
            return self._go([len(self.text)], hits)
        return self._go([cut for cut in self._cuts(hits) if cut <= opened], hits)

    def finish(self) -> list[Portion]:
        """Nothing more comes. The rest."""
        if not self.text:
            return []
        hits, _, _ = self._scan(final=True)
        return self._rest(hits)

    def pause(self) -> list[Portion]:
        """More comes, but not soon: the caller is not to wait for what is held.

        What may be the beginning of something goes on as well; of what then completes it nothing does.
        """
        if not self.text:
            return []
        _, opened, _ = self._scan(final=False)
        hits, _, _ = self._scan(final=True)
        lead = (self._lead + self.text)[-MOST_HELD:] if not opened else self.text[opened:][-MOST_HELD:]
        before = self._before if not opened else (self._before + self._lead + self.text[:opened])[-CONTEXT:]
        found = self._rest(hits)
        self._before, self._lead = before, lead
        return found

    def _scan(self, *, final: bool) -> tuple[list[Hit], int, Rule | None]:
        """What is found in the text, and from where on it is open, also where that began before a pause."""
        lead = len(self._lead)
        scanned = self._policy.scan("output", Text(self._lead + self.text, self._before, final=final))
        hits = [_cut_out(hit, lead, lead + len(self.text)) for hit in scanned.hits] if lead else scanned.hits
        return [hit for hit in hits if hit is not None], max(0, scanned.open - lead), scanned.opener

    def _cuts(self, hits: list[Hit]) -> list[int]:
        """Where a sentence ends, and no finding lies over it."""
        return [cut for cut in map(self._behind_space, self._ends) if _between(cut, hits)]

    def _rest(self, hits: list[Hit]) -> list[Portion]:
        found = self._go([*self._cuts(hits), len(self.text)], hits)
        self._sentences.flush()
        self._ends, self._fed = [], 0
        return found

    def _behind_space(self, end: int) -> int:
        """A sentence takes the white space behind it along: it tells the voice that the sentence is over."""
        while end < len(self.text) and self.text[end].isspace():
            end += 1
        return end

    def _go(self, cuts: list[int], hits: list[Hit]) -> list[Portion]:
        """Let the text go on up to the last of these places, in portions."""
        text, at, found = self.text, 0, list[Portion]()
        for cut in cuts:
            if cut <= at:
                continue
            own = [_cut_out(hit, at, cut) for hit in hits]
            found.append(Portion(text[at:cut], [hit for hit in own if hit is not None]))
            at = cut
        if at:
            self._before = (self._before + self._lead + text[:at])[-CONTEXT:]
            self._lead = ""
            self.text = text[at:]
            self._ends = [end - at for end in self._ends if end > at]
            self._fed -= at  # below 0 if white space has gone on that stands in front of the sentence
        return found


def _between(cut: int, hits: list[Hit]) -> bool:
    """Whether no finding lies over the cut."""
    return not any(finding.start < cut < finding.end for hit in hits for finding in hit.findings)


def _cut_out(hit: Hit, start: int, end: int) -> Hit | None:
    """What of a hit lies in a portion. One without a place (a rule that has failed) belongs to each."""
    if not hit.findings:
        return hit
    inside = tuple(
        Finding(max(finding.start, start) - start, min(finding.end, end) - start, finding.label)
        for finding in hit.findings
        if finding.start < end and finding.end > start
    )
    return Hit(hit.rule, hit.action, inside, hit.outcome, hit.reason) if inside else None
