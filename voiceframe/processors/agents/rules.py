"""Rules of a router: who answers, by number, by what is known of the call, or by the caller's words.

Router([sales, support], fallback="support", rules=[
    Rule("sales", to="+4930111111"),                        # the number that was dialled: known while it rings
    Rule("support", metadata={"plan": "business"}),
    Rule("sales", pattern=r"\\b(buy|order|price)\\b"),        # what the caller says
])
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from ...errors import GuardrailError, RouterError
from ...guardrails.machine import Machine

if TYPE_CHECKING:
    from ...call import Call

__all__ = ["Rule"]

#: What is searched: a caller who says more than that has said what they want before.
_MOST_CHARS: Final = 500


@dataclass(frozen=True, slots=True)
class Rule:
    """Leads to `target` if all that it asks for is so.

    to, caller: the number that was dialled, and that of the caller: one in E.164 or the beginning of some ("+49").
    metadata: of the call: each of these must be there, with this value.
    when: a function of the call.
    pattern: a regular expression that is searched in what the caller says, case ignored, as `Pattern` of
        `voiceframe.guardrails` takes it: no caller can keep it busy. A rule without one is known before anybody has
        said a word, and decides before the call is answered.
    name: for the event; by default what it asks for.

    Raises `RouterError` (`router.rule`).
    """

    target: str
    to: str = ""
    caller: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    when: Callable[[Call], bool] | None = None
    pattern: str = ""
    name: str = ""
    _machine: Machine | None = field(default=None, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not (self.to or self.caller or self.metadata or self.when is not None or self.pattern):
            raise RouterError.of("router.rule", target=self.target, problem="asks for nothing, so it always holds")
        if self.pattern:
            try:
                object.__setattr__(self, "_machine", Machine(self.pattern))
            except GuardrailError as error:
                problem = f"cannot be taken: {error.message.rstrip('.')}"
                raise RouterError.of("router.rule", target=self.target, problem=problem) from None

    @property
    def needs_words(self) -> bool:
        """Whether the caller must have said something."""
        return bool(self.pattern)

    @property
    def reason(self) -> str:
        """For the event."""
        asked = {
            "to": self.to,
            "caller": self.caller,
            "metadata": dict(self.metadata),
            "when": getattr(self.when, "__name__", ""),
            "pattern": self.pattern,
        }
        return self.name or ", ".join(f"{what} {value}" for what, value in asked.items() if value)

    def holds(self, call: Call, text: str = "") -> bool:
        """Whether it leads to its target. Raises what `when` raises."""
        return (
            (not self.to or call.to.startswith(self.to))
            and (not self.caller or call.from_.startswith(self.caller))
            and all(key in call.metadata and call.metadata[key] == value for key, value in self.metadata.items())
            and (self.when is None or bool(self.when(call)))
            and (self._machine is None or bool(self._machine.matches(text[:_MOST_CHARS]).spans))
        )
