"""The text of a vendor's turns, cut into segments: each word is given once, in order, whoever asks when."""

from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from voiceframe.clock import run_virtual
from voiceframe.frames import Word
from voiceframe.processors.stt.stream import Final, Interim, STTResult
from voiceframe.processors.stt.turn_text import TurnText


async def _alive() -> None:
    pass


def made(**how: bool) -> tuple[TurnText, list[STTResult], asyncio.Task[None]]:
    text = TurnText(alive=_alive, settle_ms=200, **how)
    found: list[STTResult] = []

    async def read() -> None:
        async for result in text.results():
            found.append(result)  # noqa: PERF401

    return text, found, asyncio.ensure_future(read())


def finals(found: list[STTResult]) -> list[tuple[str, bool]]:
    return [(result.text, result.last) for result in found if isinstance(result, Final)]


async def test_a_segment_is_answered_when_the_vendor_has_come_so_far() -> None:
    text, found, reader = made()
    text.update("i would", (), 0.9, 400)
    text.ask(700)
    text.update("i would like", (), 0.9, 650)
    await asyncio.sleep(0)
    assert finals(found) == []
    text.update("i would like", (), 0.9, 720)
    await asyncio.sleep(0)
    assert finals(found) == [("i would like", True)]
    text.end("i would like to", [Word(w, n, n + 1) for n, w in enumerate(["i", "would", "like", "to"])], 0.9, 900)
    await asyncio.sleep(0)
    assert finals(found)[1:] == [("to", False)]
    assert [result.words for result in found if isinstance(result, Final)][1] == (Word("to", 3, 4),)
    reader.cancel()


async def test_where_nothing_more_comes_it_is_answered_by_what_there_is() -> None:
    text, found, reader = made()
    text.update("hello", (), 0.9, None)
    text.ask(0)
    await asyncio.sleep(0.3)
    assert finals(found) == [("hello", True)]
    assert [result.text for result in found if isinstance(result, Interim)] == ["hello"]
    text.stop()
    reader.cancel()


async def test_a_turn_that_is_heard_again_gives_only_its_rest() -> None:
    text, found, reader = made()
    text.resume(2)
    text.ask(0)
    text.update("i would", (), 0.9, None)
    text.end("i would like", (), 0.9, None)
    await asyncio.sleep(0)
    assert finals(found) == [("like", True)]
    reader.cancel()


async def test_one_that_was_told_to_end_the_turn_answers_with_its_end() -> None:
    text, found, reader = made(until_end=True)
    text.ask(500)
    text.update("hello", (), 0.9, 600)
    await asyncio.sleep(0)
    assert finals(found) == []
    text.end("hello there", (), 0.9, 480)
    await asyncio.sleep(0)
    assert finals(found) == [("hello there", True)]
    reader.cancel()


STEPS = st.lists(st.sampled_from(["word", "update", "ask", "end", "wait"]), max_size=40)


@given(STEPS, st.booleans())
def test_each_word_is_given_once_and_each_question_answered(steps: list[str], placed: bool) -> None:
    async def scenario() -> None:
        text, found, reader = made()
        turn: list[str] = []
        said: list[str] = []
        asked = 0
        at = 0.0
        for step in steps:
            at += 100
            if step == "word":
                turn.append(str(len(said)))
                said.append(turn[-1])
            elif step == "update":
                text.update(" ".join(turn), (), 1.0, at if placed else None)
            elif step == "ask":
                asked += 1
                text.ask(at)
            elif step == "end":
                text.end(" ".join(turn), (), 1.0, at if placed else None)
                turn = []
            else:
                await asyncio.sleep(0.1)
        text.end(" ".join(turn), (), 1.0, at + 100 if placed else None)
        await asyncio.sleep(20)
        given = finals(found)
        assert " ".join(part for part, _ in given if part).split() == said
        assert sum(last for _, last in given) == asked
        reader.cancel()

    run_virtual(scenario())
