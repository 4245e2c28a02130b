"""Which language model answers: one that was asked for, or none; of a bot that runs offline too, a scripted one."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeVar
from urllib.parse import urlsplit

from .errors import ConfigurationError, ProviderError
from .llm import LLM, LLMRequest, Message
from .provider import Place, typed

if TYPE_CHECKING:
    from .providers import OpenAI

__all__ = ["Offer", "choose_model", "closing", "model_or", "offering", "refuse"]

T = TypeVar("T")
L = TypeVar("L", bound=LLM | None)

#: How long a server may take to say which models it has, and to load one.
_LIST_MS: Final = 5_000
_LOAD_MS: Final = 120_000


@dataclass(slots=True)
class Offer:
    """The model that a bot may have which is being loaded, by the options of a command. See `choose_model()`."""

    name: str | None = None
    url: str | None = None
    #: What the bot was given, and in words which it is: the model that was asked for, or that of the settings.
    given: tuple[LLM, str] | None = None
    #: Whether it has asked at all.
    asked: bool = False

    def take(self) -> LLM | None:
        self.asked = True
        if self.given is None:
            self.given = choose_model(self.name, self.url) or _of_settings()
        return self.given[0] if self.given is not None else None


_offer: ContextVar[Offer | None] = ContextVar("offer", default=None)


def model_or(rehearsed: L) -> LLM | L:
    """The model that is asked for, else `rehearsed`, which needs no key and no network. Call it outside of `bot()`.

    Asked for is the one of `--llm` and `--llm-url` of `voiceframe chat`, else that of the setting
    `VOICEFRAME_LLM_MODEL`. A key in the environment alone changes nothing. Without one `rehearsed` answers: a
    `Rehearsed`, a `ScriptedLLM([answer], repeat=True)` with a function of the request, or None for a bot that can do
    without.

    Raises what `choose_model()` and `voiceframe.providers.llm()` raise.
    """
    offer = _offer.get()
    if offer is not None:
        return offer.take() or rehearsed
    found = _of_settings()
    return found[0] if found is not None else rehearsed


@contextlib.contextmanager
def offering(name: str | None, url: str | None) -> Iterator[Offer]:
    """A bot that is loaded herein gets this model by `model_or()`."""
    offer = Offer(name, url)
    token = _offer.set(offer)
    try:
        yield offer
    finally:
        _offer.reset(token)


def _of_settings() -> tuple[LLM, str] | None:
    from .providers import LLMSettings, llm

    if not LLMSettings.load().model:
        return None
    model = llm()
    return model, f"{model.name}, of the setting VOICEFRAME_LLM_MODEL"


def choose_model(name: str | None, url: str | None) -> tuple[LLM, str] | None:
    """The model that is asked for, and in words which it is; None if none is.

    name: vendor and model, `"openai/gpt-4.1-mini"`; with `url` the server's own name of it.
    url: of a server that speaks OpenAI's chat API. Without a name the first of the models that it lists is taken.

    It is asked to say a word, so that a wrong key, model or URL is known before anybody calls, and a model of this
    machine is loaded. Raises `ProviderError`, `MissingExtra` and `ConfigurationError` (`talk.url`,
    `talk.unreachable`, `talk.no-models`).
    """
    if url:
        return asyncio.run(_served(name or "", url))
    if name:
        return asyncio.run(_of_vendor(name))
    return None


def refuse(option: str, name: str | None, url: str | None) -> None:
    """Raises `ConfigurationError` (`talk.no-network`) if a model is asked for. option: what goes without."""
    if name or url:
        raise ConfigurationError.of("talk.no-network", option=option)


async def closing(model: LLM | None, work: Awaitable[T]) -> T:
    """What `work` returns; the connections of the model are given back behind it."""
    try:
        return await work
    finally:
        if model is not None:
            await model.aclose()


async def _says_something(model: LLM) -> None:
    """Have the model begin an answer. Raises `ProviderError`."""
    request = LLMRequest((Message("user", "Say hello."),))
    async with contextlib.aclosing(model.stream(request)) as parts:
        async for _ in parts:
            return


async def _of_vendor(name: str) -> tuple[LLM, str]:
    from .providers import llm

    model = llm(name)
    await closing(model, _says_something(model))
    return model, model.name


async def _served(name: str, url: str) -> tuple[LLM, str]:
    from .providers import LLMSettings, OpenAI

    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigurationError.of("talk.url", url=url, error="it begins with http:// or https:// and a host")
    place = Place(url)
    patient = LLMSettings.load().replace(first_ms=_LOAD_MS)
    asked = OpenAI(name or "any", place=place, settings=patient)
    said = f"{name} at {url}"
    try:
        if not name:
            listed = await closing(asked, _models(asked))
            if not listed:
                raise ConfigurationError.of("talk.no-models", url=url)
            name = listed[0]
            said = f"{name} at {url}"
            if listed[1:]:
                said += f", the first of its models (--llm may name another: {', '.join(listed[1:])})"
            asked = OpenAI(name, place=place, settings=patient)
        await closing(asked, _says_something(asked))
    except ProviderError as error:
        if error.code == "provider.connection":
            raise ConfigurationError.of("talk.unreachable", url=url, error=error.message.rstrip(".")) from error
        if error.status == 404 and not parts.path.rstrip("/"):
            raise ConfigurationError.of("talk.url", url=url, error="it has no path, and nothing is there") from error
        raise
    return OpenAI(name, place=place), said


async def _models(model: OpenAI) -> list[str]:
    """The names of the models that the server lists. Raises `ProviderError`."""
    try:
        async with asyncio.timeout(_LIST_MS / 1000):
            page = await model.client.models.list()
        return [str(each.id) for each in page.data or ()]
    except Exception as error:
        raise typed(error, model.of, "--llm-url") from error
