"""The tool by which an agent places a call: `voice_call(dialler, agents={"reminder": reminder_bot})`.

The model says who is called, who talks there, and what it is about; it never gets a call in which nobody in particular
talks. It is told that the call is initiated, and not what comes of it: that stands in the events of both calls.
"""

from __future__ import annotations

import difflib
import inspect
import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final, Literal
from weakref import WeakKeyDictionary

from ..bots import load_bot
from ..errors import DialError, ToolError
from .context import ToolContext
from .tool import AnyTool, Confirm

if TYPE_CHECKING:
    from ..app import Bot
    from ..call import Call
    from ..dialling import Dialler

__all__ = ["VoiceCall", "voice_call"]

_PARAMETERS: Final = ("number", "agent", "router", "subject", "context")
_KINDS: Final[tuple[Literal["agent", "router"], ...]] = ("agent", "router")


class VoiceCall(AnyTool):
    """Places calls. Made by `voice_call()`."""

    def __init__(
        self,
        dialler: Dialler,
        targets: Mapping[Literal["agent", "router"], Mapping[str, Bot]],
        *,
        allowed: tuple[str, ...],
        most: int,
        confirm: Confirm,
        timeout_ms: int,
        name: str,
        description: str,
    ) -> None:
        self.dialler = dialler
        #: Who may talk in a call, by kind and name.
        self.targets = targets
        self.name = name
        self.description = description or self._described()
        self.timeout_ms = timeout_ms
        self.confirm = confirm
        self.retries = 1  # the key of the call finds what the first attempt has placed
        self.returns = dict[str, str]
        self._allowed = allowed
        self._most = most
        self._placed: WeakKeyDictionary[Call, list[str]] = WeakKeyDictionary()

    def _described(self) -> str:
        lines = ["Call somebody by telephone. You are told that the call is initiated, not what comes of it."]
        for kind in _KINDS:
            for name, bot in self.targets[kind].items():
                about = (inspect.getdoc(bot) or "").partition("\n\n")[0].replace("\n", " ")
                lines.append(f"{kind} {name}: {about}" if about else f"{kind} {name}")
        return "\n".join(lines)

    def schema(self) -> dict[str, Any]:
        properties: dict[str, Any] = {
            "number": {"type": "string", "description": "who is called, in E.164 form: +493012345678"}
        }
        required = ["number"]
        offered = [kind for kind in _KINDS if self.targets[kind]]
        for kind in offered:
            properties[kind] = {
                "type": "string",
                "enum": list(self.targets[kind]),
                "description": f"the {kind} that talks in the call"
                + ("; give an agent or a router, never both" if len(offered) > 1 else ""),
            }
        if len(offered) == 1:
            required += offered
        properties["subject"] = {
            "type": "object",
            "description": "the record that the call is about",
            "properties": {"type": {"type": "string"}, "id": {"type": "string"}},
            "required": ["type", "id"],
            "additionalProperties": False,
        }
        properties["context"] = {
            "type": "object",
            "description": "all that the one who talks must know of it, by name: they know nothing of this call",
            "additionalProperties": True,
        }
        return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}

    def bind(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        for name in arguments:
            if name not in _PARAMETERS:
                nearest = difflib.get_close_matches(name, _PARAMETERS, n=1, cutoff=0.0)[0]
                raise ToolError.of("tool.unknown-argument", tool=self.name, name=name, nearest=nearest)
        given = {name: value for name, value in arguments.items() if value is not None and value != ""}
        if "number" not in given:
            raise ToolError.of("tool.missing", tool=self.name, name="number")
        subject = given.get("subject")
        if isinstance(subject, Mapping) and set(subject) == {"type", "id"}:
            given["subject"] = (subject["type"], subject["id"])
        for name in _KINDS:
            if name in given and not isinstance(given[name], str):
                raise ToolError.of("tool.argument", tool=self.name, name=name, value=given[name], expected="a text")
        return given

    async def attempt(self, context: ToolContext, bound: Mapping[str, Any]) -> dict[str, str]:
        try:
            return await self._place(context, bound)
        except DialError as error:  # as it is: the model can make use of what it says
            raise ToolError(error.code, error.message, error.fix) from error

    async def _place(self, context: ToolContext, bound: Mapping[str, Any]) -> dict[str, str]:
        from ..dialling import e164

        number = e164(bound["number"])
        kind, name = self._chosen(number, bound)
        if self._allowed and not number.startswith(self._allowed):
            raise DialError.of("dial.not-allowed", number=number, allowed=" or ".join(self._allowed))
        placed = self._placed.setdefault(context.call, [])
        again = context.idempotency_key in placed
        if not again and len(placed) >= self._most:
            raise DialError.of("dial.too-many", count=len(placed))
        if not again:
            placed.append(context.idempotency_key)
        try:
            dialled = await self.dialler.place(
                number,
                self.targets[kind][name],
                target=name,
                kind=kind,
                subject=bound.get("subject"),
                context=bound.get("context"),
                parent=context.call,
                tool_call=context.call_id,
                key=context.idempotency_key,
            )
        except DialError:
            if not again:
                placed.remove(context.idempotency_key)  # nobody was called
            raise
        return {"call": dialled.call.id, "status": "initiated"}

    def _chosen(self, number: str, bound: Mapping[str, Any]) -> tuple[Literal["agent", "router"], str]:
        """Who is to talk. There is none that talks if nobody is named."""
        given = [kind for kind in _KINDS if kind in bound]
        if not given:
            raise DialError.of("dial.no-choice", number=number, known=self._known())
        if len(given) > 1:
            raise DialError.of("dial.two-targets", number=number, agent=bound["agent"], router=bound["router"])
        kind, name = given[0], bound[given[0]]
        if name not in self.targets[kind]:
            every = [known for targets in self.targets.values() for known in targets]
            nearest = difflib.get_close_matches(name, self.targets[kind] or every, n=1, cutoff=0.0)[0]
            raise DialError.of("dial.unknown-target", kind=kind, name=name, known=self._known(), nearest=nearest)
        return kind, name

    def _known(self) -> str:
        return ", ".join(f"the {kind} {name!r}" for kind in _KINDS for name in self.targets[kind])


def voice_call(
    dialler: Dialler,
    *,
    agents: Mapping[str, Bot | str] | None = None,
    routers: Mapping[str, Bot | str] | None = None,
    allowed: Iterable[str] = (),
    most: int = 3,
    confirm: Confirm = False,
    timeout_ms: int = 10_000,
    name: str = "voice_call",
    description: str = "",
) -> VoiceCall:
    """A tool that calls somebody: `voice_call(number, agent or router, subject={type, id}, context={...})`.

    It returns the new call's id and `initiated`. A retry of the same call of the tool dials nobody again.

    agents, routers: the bots that may talk in such a call, by the name that the model gives: functions of the call that
        return a pipeline, or where to find them (`"bots.py:reminder"`), which is looked up now. What their docstrings
        say is told to the model. One of the two must name somebody.
    allowed: beginnings of the numbers that may be called, `["+49", "+43"]`; empty for all.
    most: how many calls may be placed out of one.
    confirm: as of any tool: whether the caller or an operator has to agree first.
    name, description: for the model.

    The new call's instructions find `{{ data.subject.id }}` and `{{ data.context.name }}`, its tools
    `subject_of(ctx.call)`; and its agent is told of both as data, whether or not its instructions name them.

    Raises `DialError` (`dial.no-target`, `dial.target`, `dial.number`), and `ConfigurationError` for a bot that is not
    to be found.
    """
    targets: dict[Literal["agent", "router"], dict[str, Bot]] = {
        "agent": _bots("agent", agents or {}),
        "router": _bots("router", routers or {}),
    }
    if not any(targets.values()):
        raise DialError.of("dial.no-target", where=name)
    prefixes = tuple(allowed)
    for prefix in prefixes:
        if not re.fullmatch(r"\+[1-9][0-9]*", prefix):
            raise DialError.of("dial.number", number=prefix)
    return VoiceCall(
        dialler,
        targets,
        allowed=prefixes,
        most=most,
        confirm=confirm,
        timeout_ms=timeout_ms,
        name=name,
        description=description,
    )


def _bots(kind: str, given: Mapping[str, Bot | str]) -> dict[str, Bot]:
    found: dict[str, Bot] = {}
    for name, bot in given.items():
        made: object = load_bot(bot) if isinstance(bot, str) else bot
        if not callable(made) or not name.strip():
            raise DialError.of("dial.target", kind=kind, name=name, what=repr(made)[:80])
        found[name] = made
    return found
