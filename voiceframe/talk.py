"""Which language model answers in `voiceframe chat` and `voiceframe demo`: one that was asked for, or none."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable
from typing import TYPE_CHECKING, Final, TypeVar
from urllib.parse import urlsplit

from .errors import ConfigurationError, ProviderError
from .llm import LLM, LLMRequest, Message
from .provider import Place, typed

if TYPE_CHECKING:
    from .providers import OpenAI

__all__ = ["choose_model", "closing", "refuse"]

T = TypeVar("T")

#: How long a server may take to say which models it has, and to load one.
_LIST_MS: Final = 5_000
_LOAD_MS: Final = 120_000


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
