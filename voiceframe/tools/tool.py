"""What a tool is: a typed function, or something else that can be called by name (`AnyTool`)."""

from __future__ import annotations

import abc
import asyncio
import dataclasses
import inspect
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, Generic, Literal, ParamSpec, TypeAlias, TypeVar, get_args

from ..errors import ToolError, VoiceframeError
from ..llm import ToolSpec
from .context import ToolContext, ToolResult, now_ms
from .docstrings import read_docstring
from .parameters import Parameter, bind, hints_of, known, schema_of

__all__ = ["AnyTool", "Confirm", "Duplicates", "Tool", "tool"]

P = ParamSpec("P")
R = TypeVar("R")

#: What becomes of a call that is the same as one that runs, or has just returned.
Duplicates: TypeAlias = Literal["allow", "reject", "replace", "confirm"]
#: Who has to agree before it runs: nobody, the caller (True, or the question), or an operator.
Confirm: TypeAlias = bool | str

#: The first wait before another attempt; each further one is twice as long.
_PAUSE_MS: Final = 200


class AnyTool(abc.ABC):
    """Something that an agent can call by name. What stands here is how it is called; see `tool()` for each."""

    name: str = ""
    description: str = ""
    timeout_ms: int = 10_000
    side_effects: bool = True
    on_duplicate: Duplicates = "reject"
    confirm: Confirm = False
    say_after_ms: int | None = None
    say: str = "One moment, please."
    retries: int = 0
    secret: tuple[str, ...] = ()
    on_interrupt: Literal["finish", "cancel"] = "finish"
    ends_reply: bool = False
    #: What it may return, for whoever shows the result.
    returns: Any = Any

    @abc.abstractmethod
    def schema(self) -> dict[str, Any]:
        """The parameters as a JSON schema (draft 2020-12) of an object, as language models take it."""

    @abc.abstractmethod
    def bind(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments as it takes them. Raises `ToolError` for what is missing, unknown or of another type."""

    @abc.abstractmethod
    async def attempt(self, context: ToolContext, bound: Mapping[str, Any]) -> Any:
        """Call it once, with what `bind()` has made."""

    def spec(self) -> ToolSpec:
        """The tool as a model is told of it."""
        return ToolSpec(self.name, self.description, self.schema())

    async def run(self, context: ToolContext, arguments: Mapping[str, Any]) -> Any:
        """Call it. Raises `ToolError` for wrong arguments, after `timeout_ms`, and for whatever it raises."""
        result = await self.outcome(context, arguments)
        if result.error is not None:
            raise result.error from result.error.__cause__
        return result.value

    async def outcome(self, context: ToolContext, arguments: Mapping[str, Any]) -> ToolResult:
        """Call it, as often as `retries` says, and return what came of it. A cancellation passes."""
        began = now_ms()
        attempt = 0
        error: ToolError
        limit = asyncio.timeout(self.timeout_ms / 1000)
        try:
            bound = self.bind(arguments)
            async with limit:
                while True:
                    attempt += 1
                    try:
                        value = await self.attempt(dataclasses.replace(context, attempt=attempt, tool=self.name), bound)
                        return ToolResult(value, None, attempt, now_ms() - began)
                    except ToolError:
                        raise
                    except Exception:
                        if attempt > self.retries:
                            raise
                    await asyncio.sleep((_PAUSE_MS << (attempt - 1)) / 1000)
        except ToolError as caught:
            error = caught
        except Exception as caught:
            if isinstance(caught, TimeoutError) and limit.expired():
                error = ToolError.of("tool.timeout", tool=self.name, timeout_ms=self.timeout_ms)
            else:
                what = caught.message if isinstance(caught, VoiceframeError) else repr(caught)
                error = ToolError.of("tool.failed", tool=self.name, error=what)
            error.__cause__ = caught
        return ToolResult(None, error, max(1, attempt), now_ms() - began)

    def __repr__(self) -> str:
        return f"<tool {self.name}>"


class Tool(AnyTool, Generic[P, R]):
    """A function as a tool. Made by `@tool`; called directly it is the function itself."""

    def __init__(
        self,
        fn: Callable[P, Awaitable[R]],
        *,
        timeout_ms: int = 10_000,
        side_effects: bool = True,
        on_duplicate: Duplicates | None = None,
        confirm: Confirm = False,
        say_after_ms: int | None = None,
        say: str = "One moment, please.",
        retries: int | None = None,
        secret: tuple[str, ...] = (),
        on_interrupt: Literal["finish", "cancel"] | None = None,
        ends_reply: bool = False,
        name: str = "",
        description: str = "",
    ) -> None:
        self.fn = fn
        self.name = name or getattr(fn, "__name__", repr(fn))
        self.timeout_ms = timeout_ms
        self.side_effects = side_effects
        self.on_duplicate = on_duplicate or ("reject" if side_effects else "allow")
        self.confirm = confirm
        self.say_after_ms = say_after_ms
        self.say = say
        self.retries = (0 if side_effects else 1) if retries is None else retries
        self.secret = tuple(secret)
        self.on_interrupt = on_interrupt or ("finish" if side_effects else "cancel")
        self.ends_reply = ends_reply
        self._schema: dict[str, Any] | None = None
        self._read(fn)
        self.description = description or self.description
        self._check()

    def _read(self, fn: Callable[P, Awaitable[R]]) -> None:
        """Take the parameters from the function."""
        if not inspect.iscoroutinefunction(fn):
            raise self._refused("it is not an `async def`")
        try:
            hints = hints_of(fn)
        except NameError as error:
            raise self._refused(error) from None
        self.returns = hints.pop("return", Any)
        self.context_name = ""
        self.parameters: dict[str, Parameter] = {}
        signature = inspect.signature(fn).parameters
        self.description, descriptions = read_docstring(inspect.getdoc(fn) or "", signature)
        for name, parameter in signature.items():
            if hints.get(name) is ToolContext:
                self.context_name = name
                continue
            if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
                raise self._refused(f"{name!r} cannot be given by name")
            if name not in hints:
                raise self._refused(f"the type of {name!r} is missing")
            why = known(hints[name])
            if why:
                raise self._refused(f"the type of {name!r} is {hints[name]}: {why}")
            required = parameter.default is parameter.empty
            self.parameters[name] = Parameter(name, hints[name], required, descriptions.get(name, ""))

    def _check(self) -> None:
        for name in self.secret:
            if name not in self.parameters:
                raise self._refused(f"`secret` names {name!r}, which it does not take")
        for option, value, known_values in (
            ("on_duplicate", self.on_duplicate, get_args(Duplicates)),
            ("on_interrupt", self.on_interrupt, ("finish", "cancel")),
        ):
            if value not in known_values:
                raise self._refused(f"{option} is {value!r}, and not one of {', '.join(known_values)}")
        for option, number, least in (
            ("timeout_ms", self.timeout_ms, 1),
            ("retries", self.retries, 0),
            ("say_after_ms", 0 if self.say_after_ms is None else self.say_after_ms, 0),
        ):
            if number < least:
                raise self._refused(f"{option} is {number}, and must be at least {least}")

    def _refused(self, error: object) -> ToolError:
        return ToolError.of("tool.signature", tool=self.name, error=error)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Awaitable[R]:
        return self.fn(*args, **kwargs)

    def schema(self) -> dict[str, Any]:
        if self._schema is None:
            self._schema = schema_of(self.parameters)
        return self._schema

    def bind(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        return bind(self.name, self.parameters, arguments)

    async def attempt(self, context: ToolContext, bound: Mapping[str, Any]) -> R:
        arguments = {**bound, self.context_name: context} if self.context_name else bound
        return await self.fn(**arguments)  # type: ignore[call-arg]


def tool(
    *,
    timeout_ms: int = 10_000,
    side_effects: bool = True,
    on_duplicate: Duplicates | None = None,
    confirm: Confirm = False,
    say_after_ms: int | None = None,
    say: str = "One moment, please.",
    retries: int | None = None,
    secret: tuple[str, ...] = (),
    on_interrupt: Literal["finish", "cancel"] | None = None,
    ends_reply: bool = False,
    name: str = "",
    description: str = "",
) -> Callable[[Callable[P, Awaitable[R]]], Tool[P, R]]:
    """Declare an `async def` as a tool. Raises `ToolError` (`tool.signature`) if it cannot be one.

    timeout_ms: how long a call of it may take, all attempts together.
    side_effects: whether it changes something outside of the call. One that does is finished, once it has begun, also
        when the caller interrupts or hangs up; one that only looks something up is cancelled when nobody waits for it.
    on_duplicate: what becomes of a call with the same arguments as one that runs, or that returned less than
        `AgentSettings.duplicate_ms` ago: `"allow"`; `"reject"`: the model is told what came of the first; `"replace"`:
        the first is cancelled if it still runs; `"confirm"`: the caller is asked. By default tools with side effects
        reject, others allow.
    confirm: True, or a question with the arguments in braces (`"Shall I book {day}?"`): the caller is asked, and the
        tool runs only after a yes. `"operator"`: a person has to agree, by `agent.approve(call_id, by=...)`.
    say_after_ms, say: what the caller hears when it takes that long; None for nothing.
    retries: how often it is tried again when it raises, with the same `context.idempotency_key`. By default lookups
        once, and tools with side effects never: say it if yours heeds the key.
    secret: arguments that events and frames show as "[secret]".
    on_interrupt: `"finish"` or `"cancel"` when the caller interrupts while it runs; by default as `side_effects` says.
    ends_reply: nothing more is asked of the model once it has returned: it has said all there is to say.
    name, description: for the model; by default those of the function, and its docstring without the parameters, whose
        descriptions go into the schema.
    """

    def declare(fn: Callable[P, Awaitable[R]]) -> Tool[P, R]:
        return Tool(
            fn,
            timeout_ms=timeout_ms,
            side_effects=side_effects,
            on_duplicate=on_duplicate,
            confirm=confirm,
            say_after_ms=say_after_ms,
            say=say,
            retries=retries,
            secret=secret,
            on_interrupt=on_interrupt,
            ends_reply=ends_reply,
            name=name,
            description=description,
        )

    return declare
