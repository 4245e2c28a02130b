"""The cache of prompts: made once, kept in memory, and on disk what was prepared."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.test_tts import reply
from voiceframe.audio import PCM_8K, PCM_16K, PCMU_8K
from voiceframe.frames import OutputAudioFrame, Word
from voiceframe.processors.tts import EspeakSettings, EspeakTTS, PromptCache, PromptCacheSettings, prepare
from voiceframe.processors.tts.cache import shared_cache
from voiceframe.processors.tts.prompt import Prompt
from voiceframe.testing.run import Result, rig, run

KEY = ("espeak-ng", "en-us", 165, -20.0, "Hello.")


def prompt(text: str = "Hello.", ms: int = 250) -> Prompt:
    return Prompt.of(bytes(range(256))[: ms % 256] + bytes(8 * ms - ms % 256), [Word(text, 0, ms)], PCMU_8K, 100)


def cache(directory: Path | str = "", *, memory_mb: int = 4, disk_mb: int = 1, max_chars: int = 300) -> PromptCache:
    return PromptCache(
        PromptCacheSettings(memory_mb=memory_mb, disk_mb=disk_mb, max_chars=max_chars, directory=str(directory))
    )


def never() -> Prompt:
    raise AssertionError("it was made again")


def files(folder: Path) -> list[Path]:
    return list(folder.iterdir())


def pieces(result: Result, number: int = 1) -> list[bytes]:
    return [f.audio.data for f in result.down if isinstance(f, OutputAudioFrame) and f.reply == number]


# -- prompts


@given(st.integers(0, 700), st.lists(st.integers(0, 700), max_size=6), st.integers(20, 300))
def test_a_prompt_in_pieces_is_the_whole(ms: int, starts: list[int], piece_ms: int) -> None:
    audio = bytes(index % 251 for index in range(8 * ms))
    words = [Word(f" {index}", start, start + 10) for index, start in enumerate(sorted(starts))]
    made = Prompt.of(audio, words, PCMU_8K, piece_ms)
    assert made.audio == audio
    assert [word.text for _, inside in made.pieces for word in inside] == [word.text for word in words]
    for index, (piece, inside) in enumerate(made.pieces):
        assert len(piece) <= 8 * piece_ms
        for word in inside:
            assert word.start_ms >= 0 or not index
            assert int(word.text) >= 0


# -- memory


def test_what_was_made_is_found_and_made_once() -> None:
    kept = cache()
    assert kept.get(KEY) is None
    first = kept.get_or_make(KEY, prompt, PCMU_8K, 100)
    assert kept.get_or_make(KEY, never, PCMU_8K, 100) is first
    assert kept.get(KEY) is first
    assert (kept.hits, kept.misses, len(kept)) == (1, 1, 1)
    assert kept.bytes == first.size


def test_the_least_used_go_first_and_the_bound_holds() -> None:
    kept = cache(memory_mb=1)
    big = prompt(ms=20_000)
    fit = 1_000_000 // big.size
    for number in range(fit):
        kept.get_or_make((number,), lambda: big, PCMU_8K, 100)
    kept.get((0,))
    kept.get_or_make(("new",), lambda: big, PCMU_8K, 100)
    assert kept.get((0,)) is big
    assert kept.get((1,)) is None
    assert kept.bytes <= 1_000_000


def test_what_is_larger_than_the_memory_is_not_kept() -> None:
    kept = cache(memory_mb=0)
    assert kept.get_or_make(KEY, prompt, PCMU_8K, 100).words
    assert len(kept) == kept.bytes == 0


def test_many_threads_that_ask_at_once_make_it_once() -> None:
    kept = cache()
    made: list[int] = []
    begin = threading.Barrier(8)

    def make() -> Prompt:
        made.append(1)
        threading.Event().wait(0.05)  # long enough for all others to ask
        return prompt()

    def ask() -> None:
        begin.wait()
        kept.get_or_make(KEY, make, PCMU_8K, 100)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert made == [1]


def test_a_failure_is_not_kept() -> None:
    kept = cache()
    with pytest.raises(AssertionError):
        kept.get_or_make(KEY, never, PCMU_8K, 100)
    assert kept.get_or_make(KEY, prompt, PCMU_8K, 100).words


def test_clear_forgets_everything(tmp_path: Path) -> None:
    kept = cache(tmp_path)
    kept.get_or_make(KEY, prompt, PCMU_8K, 100, disk=True)
    kept.clear()
    assert len(kept) == kept.bytes == 0
    assert list(tmp_path.iterdir()) == []
    assert kept.get(KEY) is None
    cache(tmp_path / "none").clear()


# -- disk


def test_what_was_prepared_is_there_in_the_next_process(tmp_path: Path) -> None:
    made = cache(tmp_path / "deep" / "down").get_or_make(KEY, prompt, PCMU_8K, 100, disk=True)
    again = cache(tmp_path / "deep" / "down")
    read = again.get_or_make(KEY, never, PCMU_8K, 100)
    assert read == made
    assert again.get(KEY) is read


def test_only_what_was_prepared_is_written(tmp_path: Path) -> None:
    kept = cache(tmp_path)
    kept.get_or_make(KEY, prompt, PCMU_8K, 100)
    assert list(tmp_path.iterdir()) == []
    kept.get_or_make(KEY, never, PCMU_8K, 100, disk=True)  # also when it was said before
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("damage", ["empty", "cut", "flipped", "other", "foreign"])
def test_a_file_that_is_damaged_is_made_again(tmp_path: Path, damage: str) -> None:
    cache(tmp_path).get_or_make(KEY, prompt, PCMU_8K, 100, disk=True)
    (path,) = tmp_path.iterdir()
    data = path.read_bytes()
    if damage == "empty":
        path.write_bytes(b"")
    elif damage == "cut":
        path.write_bytes(data[:-1])
    elif damage == "flipped":
        path.write_bytes(data[:-9] + bytes([data[-9] ^ 1]) + data[-8:])
    elif damage == "foreign":
        path.write_bytes(b"something else")
    else:  # whole, but of another text
        cache(tmp_path / "other").get_or_make(("x",), lambda: prompt("x"), PCMU_8K, 100, disk=True)
        (other,) = (tmp_path / "other").iterdir()
        path.write_bytes(other.read_bytes())
    made: list[Prompt] = []

    def make() -> Prompt:
        made.append(prompt())
        return made[-1]

    assert cache(tmp_path).get_or_make(KEY, make, PCMU_8K, 100, disk=True) == prompt()
    assert len(made) == 1
    assert path.read_bytes() == data


@given(st.binary(max_size=300), st.integers(0, 200))
def test_no_file_can_do_harm(tmp_path_factory: pytest.TempPathFactory, junk: bytes, at: int) -> None:
    folder = tmp_path_factory.mktemp("prompts")
    cache(folder).get_or_make(KEY, prompt, PCMU_8K, 100, disk=True)
    (path,) = folder.iterdir()
    data = path.read_bytes()
    path.write_bytes(data[:at] + junk + data[at + len(junk) :])
    assert cache(folder).get_or_make(KEY, prompt, PCMU_8K, 100) == prompt()


def test_the_folder_has_a_limit_and_what_was_used_last_stays(tmp_path: Path) -> None:
    kept = cache(tmp_path, memory_mb=0, disk_mb=1)
    big = prompt(ms=30_000)  # 240 kB
    paths: dict[int, Path] = {}
    for number in range(3):
        kept.get_or_make((number,), lambda: big, PCMU_8K, 100, disk=True)
        (paths[number],) = set(tmp_path.iterdir()) - set(paths.values())
        os.utime(paths[number], (number, number))
    kept.get_or_make((0,), never, PCMU_8K, 100)  # used now
    kept.get_or_make((3,), lambda: big, PCMU_8K, 100, disk=True)
    kept.get_or_make((4,), lambda: big, PCMU_8K, 100, disk=True)
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 1_000_000
    assert paths[0].exists()
    assert not paths[1].exists()


def test_a_folder_that_cannot_be_written_is_told_once_and_does_no_harm(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("in the way")
    kept = cache(tmp_path / "file" / "folder", memory_mb=0)
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            assert kept.get_or_make(KEY, prompt, PCMU_8K, 100, disk=True) == prompt()
        kept.clear()
    assert [record.message.partition(":")[0] for record in caplog.records] == ["prompts are not kept on disk"]


def test_a_full_disk_does_no_harm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(self: Path, data: bytes) -> int:
        self.touch()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    kept = cache(tmp_path)
    with caplog.at_level(logging.WARNING):
        assert kept.get_or_make(KEY, prompt, PCMU_8K, 100, disk=True) == prompt()
    assert list(tmp_path.iterdir()) == []
    assert "No space left" in caplog.text


def test_several_processes_may_use_one_folder(tmp_path: Path) -> None:
    code = """
import sys
from tests.test_tts_cache import cache, prompt, PCMU_8K
for turn in range(40):
    kept = cache(sys.argv[1], memory_mb=0, disk_mb=1)
    number = turn % 7
    made = kept.get_or_make((number,), lambda: prompt(str(number), 20_000), PCMU_8K, 100, disk=True)
    assert made == prompt(str(number), 20_000)
"""
    root = Path(__file__).resolve().parent.parent
    running = [subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], cwd=root) for _ in range(2)]
    assert [process.wait() for process in running] == [0, 0]
    assert not [path for path in tmp_path.iterdir() if path.suffix == ".part"]
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 1_500_000  # each looks, then writes


# -- the voice with it


async def test_a_text_that_is_said_again_is_the_very_same_bytes() -> None:
    kept = cache()
    once = await run(EspeakTTS(EspeakSettings(), cache=kept), frames=reply(1, "Good morning. Hello!"))
    again = await run(EspeakTTS(EspeakSettings(), cache=kept), frames=reply(1, " Good morning.\nHello! "))
    first, second = pieces(once), pieces(again)
    assert first
    assert [id(a) for a in first if any(a)] == [id(b) for b in second if any(b)]
    assert kept.misses == 2
    assert kept.hits == 2


async def test_what_differs_in_voice_settings_or_format_is_not_mixed_up() -> None:
    kept = cache()
    for settings in (EspeakSettings(), EspeakSettings(words_per_minute=200), EspeakSettings(voice="en-us+f2")):
        await run(EspeakTTS(settings, cache=kept), frames=reply(1, "Hello!"))
    for format in (PCM_8K, PCMU_8K, PCM_16K):
        await prepare(["Hello!"], settings=EspeakSettings(), format=format, cache=kept)
    assert len(kept) == 5  # the last is the format of the first


async def test_long_texts_are_not_kept() -> None:
    kept = cache(max_chars=10)
    await run(EspeakTTS(EspeakSettings(), cache=kept), frames=reply(1, "Yes. But this is a long sentence."))
    assert len(kept) == 1


async def test_nothing_that_is_private_is_kept(tmp_path: Path) -> None:
    kept = cache(tmp_path)
    async with rig(EspeakTTS(EspeakSettings(), cache=kept)) as call:
        with call.call.private():
            call.push(*reply(1, "Your number is 4 7 1 1."))
            assert await call.ends() == "completed"
        assert pieces(call.result)
    assert len(kept) == 0
    assert files(tmp_path) == []


async def test_prepare_warms_memory_and_disk_and_what_is_said_later_stays_off_the_disk(tmp_path: Path) -> None:
    kept = cache(tmp_path)
    await prepare(["Hello there. How can I help?"], settings=EspeakSettings(), format=PCM_16K, cache=kept)
    assert len(kept) == len(files(tmp_path)) == 2
    await run(EspeakTTS(EspeakSettings(), cache=kept), frames=reply(1, "Hello there. How can I help? Hello, Ann."))
    assert kept.hits == 2
    assert len(kept) == 3
    assert len(files(tmp_path)) == 2
    on_disk = b"".join(path.read_bytes() for path in files(tmp_path))
    assert b"Ann" not in on_disk
    assert b"help" in on_disk


async def test_a_running_voice_can_prepare_more() -> None:
    kept = cache()
    tts = EspeakTTS(EspeakSettings(), cache=kept)
    async with rig(tts) as call:
        await tts.prepare(["One moment, please.", "  "])
        assert len(kept) == 1
        call.push(*reply(1, "One moment, please."))
        assert await call.ends() == "completed"
    assert kept.hits == 1


def test_the_cache_of_the_process_is_one() -> None:
    assert shared_cache() is shared_cache()


def test_a_file_says_what_is_in_it(tmp_path: Path) -> None:
    cache(tmp_path).get_or_make(KEY, prompt, PCMU_8K, 100, disk=True)
    (path,) = tmp_path.iterdir()
    facts = json.loads(path.read_bytes().split(b"\n")[2])
    assert facts["key"] == list(KEY)
    assert facts["words"] == [["Hello.", 0, 250]]
