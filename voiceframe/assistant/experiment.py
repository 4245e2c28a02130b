"""Experiments: who gets which variant of an agent, always the same for the same caller and without any state.

Each variant draws a number for each caller, from a hash that is keyed by the experiment, and the lowest one by weight
wins (weighted rendezvous hashing). So a change of the weights, or of the list, moves no more callers than it must.
"""

from __future__ import annotations

import hashlib
import logging
import math
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

from ..call import Call
from ..errors import AssistantError
from ..processors.agents.settings import AgentSettings
from ..processors.agents.template import Template
from ..tools.tool import AnyTool
from .party import party

if TYPE_CHECKING:
    from ..llm import LLM
    from ..processors.agents import Generated
    from ..tools.mcp import MCPServer

_log = logging.getLogger("voiceframe.assistant")

__all__ = ["Assignment", "Experiment", "Variant"]

#: What a variant may change, in the order in which it is done.
CHANGES: Final = ("instructions", "greeting", "voice", "llm", "model", "tools", "settings")


class Variant:
    """What is different for some of the callers. What is left out stays as the agent has it.

        Variant("control")
        Variant("warm", greeting="Hello, how lovely that you call!", weight=3)

    weight: its share, relative to those of the other variants; 0 for no new callers.
    instructions, greeting, voice, llm, tools: as of `Agent`, in place of the agent's own; `greeting=""` for none.
    model: the name of another model of the same vendor.
    settings: some of `AgentSettings`, by name.
    of: who is changed of a squad, by default the one who has the caller first, or of a router, whose own is only the
        greeting.

    Raises `AssistantError` (`experiment.change`) and `ConfigurationError` for a text or setting that cannot be.
    """

    def __init__(
        self,
        name: str,
        *,
        weight: float = 1,
        instructions: str | Callable[[Call], str] | None = None,
        greeting: str | Generated | Callable[[Call], str] | None = None,
        voice: str | None = None,
        llm: LLM | None = None,
        model: str | None = None,
        tools: Iterable[AnyTool | MCPServer] | None = None,
        settings: Mapping[str, Any] | None = None,
        of: str = "",
    ) -> None:
        self.name = name
        self.weight = weight
        self.of = of
        if not name or not name.isprintable() or len(name) > 64:
            raise AssistantError.of("experiment.change", variant=name, error="its name is no short text")
        if not (math.isfinite(weight) and weight >= 0):
            raise AssistantError.of("experiment.change", variant=name, error=f"its weight is {weight!r}")
        if isinstance(instructions, str):
            Template(instructions, f"The instructions of the variant {name!r}")
        if isinstance(greeting, str):
            Template(greeting, f"The greeting of the variant {name!r}")
        given = None if tools is None else tuple(tools)
        for tool in given or ():
            if not isinstance(tool, AnyTool) and not hasattr(tool, "acquire"):
                raise AssistantError.of("experiment.change", variant=name, error=f"{tool!r} is no tool")
        AgentSettings(**(settings or {}))
        values = (instructions, greeting, voice, llm, model, given, dict(settings) if settings else None)
        #: What it changes, by name.
        self.changes: dict[str, Any] = {
            change: value for change, value in zip(CHANGES, values, strict=True) if value is not None
        }

    def touches(self) -> set[str]:
        """What it changes, each setting by itself."""
        names = {name for name in self.changes if name != "settings"}
        names |= {f"settings.{name}" for name in self.changes.get("settings", ())}
        return {f"{self.of}.{name}" if self.of else name for name in names}

    def __repr__(self) -> str:
        return f"<variant {self.name}>"


class Assignment(NamedTuple):
    """The variant that a call has of an experiment, and why. unit: a hash of who calls."""

    experiment: Experiment
    variant: Variant
    reason: Literal["sticky", "call", "chosen"]
    unit: str


class Experiment:
    """Variants of an agent, one of which each caller gets.

    name: for events and the report. Another name draws anew, and independently.
    variants: the first one is what the others are compared with.
    key: who the caller is, as a text, for the same caller to get the same variant; by default the number of the other
        side. None for one who is not known: each call of theirs is drawn by itself. It need not be verified.
    choose: the name of a variant that this call must have, or None to draw: for testers, or callers who may not be
        tried on.
    seed: mixed into the hash: another one draws anew; a secret one keeps others from computing the variant of a number.

    Raises `AssistantError` (`experiment.variants`).
    """

    def __init__(
        self,
        name: str,
        variants: Iterable[Variant],
        *,
        key: Callable[[Call], str | None] = party,
        choose: Callable[[Call], str | None] | None = None,
        seed: str = "",
    ) -> None:
        self.name = name
        self.variants = tuple(variants)
        self._key = key
        self._choose = choose
        self._hash_key = hashlib.blake2b(f"{len(name)}:{name}:{seed}".encode("utf-8", "surrogatepass")).digest()
        names = [variant.name for variant in self.variants]
        error = ""
        if not name or not name.isprintable() or len(name) > 64:
            error = "its name is no short text"
        elif len(names) < 2:
            error = "it has nothing to compare"
        elif len(set(names)) < len(names):
            error = f"two of its variants have one name ({', '.join(names)})"
        elif not any(variant.weight for variant in self.variants):
            error = "all of its weights are 0"
        if error:
            raise AssistantError.of("experiment.variants", experiment=name, error=error)

    def touches(self) -> set[str]:
        """What its variants change."""
        return {name for variant in self.variants for name in variant.touches()}

    def shares(self) -> dict[str, float]:
        """The share of each variant, by the weights."""
        total = math.fsum(variant.weight for variant in self.variants)
        return {variant.name: variant.weight / total for variant in self.variants}

    def variant(self, name: str) -> Variant:
        """The variant of this name. Raises `AssistantError` (`experiment.unknown`)."""
        for variant in self.variants:
            if variant.name == name:
                return variant
        known = ", ".join(variant.name for variant in self.variants)
        raise AssistantError.of("experiment.unknown", experiment=self.name, variant=name, known=known)

    def draw(self, key: str) -> Variant:
        """The variant of whoever has this key: the same in every process and at any time."""
        return min(
            (variant for variant in self.variants if variant.weight),
            key=lambda variant: -math.log(self._fraction(key, variant.name)) / variant.weight,
        )

    def assign(self, call: Call, chosen: str | None = None) -> Assignment:
        """The variant of a call. chosen: one that it must have. Raises `AssistantError` (`experiment.unknown`).

        What `key` or `choose` raises is logged, and the call is drawn as if it had returned None.
        """
        key = self._asked(self._key, call)
        unit = self._digest(key or call.id, "").hex()[:16]
        if chosen is not None:
            return Assignment(self, self.variant(chosen), "chosen", unit)
        wanted = self._asked(self._choose, call) if self._choose is not None else None
        if wanted is not None:
            try:
                return Assignment(self, self.variant(wanted), "chosen", unit)
            except AssistantError as error:
                _log.error("experiment %s: %s", self.name, error)
        return Assignment(self, self.draw(key or call.id), "sticky" if key else "call", unit)

    def _asked(self, function: Callable[[Call], str | None], call: Call) -> str | None:
        try:
            found: object = function(call)
            return None if found is None else str(found)
        except Exception:  # an experiment is no reason to lose a call
            _log.exception("experiment %s: %r has failed", self.name, function)
            return None

    def _fraction(self, key: str, variant: str) -> float:
        """A number between 0 and 1, both excluded."""
        bits = int.from_bytes(self._digest(key, variant)[:8], "big") >> 11
        return (bits + 0.5) / (1 << 53)

    def _digest(self, key: str, variant: str) -> bytes:
        text = f"{len(key)}:{key}:{variant}".encode("utf-8", "surrogatepass")
        return hashlib.blake2b(text, key=self._hash_key, digest_size=16).digest()

    def __repr__(self) -> str:
        return f"<experiment {self.name}: {', '.join(variant.name for variant in self.variants)}>"
