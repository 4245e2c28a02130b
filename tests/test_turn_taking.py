"""Turn taking: when a turn is over, what stops the bot, and what is none of both."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from voiceframe.errors import ConfigurationError
from voiceframe.frames import (
    Alternative,
    BotStartedSpeakingFrame,
    BotStoppedSpeakingFrame,
    EagerTurnFrame,
    ExpectFrame,
    Frame,
    HeardFrame,
    InputDTMFFrame,
    InterimTranscriptionFrame,
    InterruptionFrame,
    InterruptionRequestFrame,
    PauseFrame,
    ResumeFrame,
    TextFrame,
    TranscriptionFrame,
    TurnResumedFrame,
    UpdateSettingsFrame,
    UserIdleFrame,
    UserStartedSpeakingFrame,
    UserStoppedSpeakingFrame,
    UserTurnFrame,
    VADUserStartedSpeakingFrame,
    VADUserStoppedSpeakingFrame,
)
from voiceframe.processor import Processor, observes
from voiceframe.processors.turn import (
    PRESETS,
    AdaptiveEndpointing,
    Pause,
    TurnAnalyzer,
    Turns,
    TurnSettings,
    preset,
)
from voiceframe.processors.turn.completeness import completeness
from voiceframe.processors.turn.echo import own_words
from voiceframe.processors.turn.keypad import Keypad
from voiceframe.testing.run import Rig, rig

FIXED = TurnSettings(endpointing="fixed", silence_ms=700, idle_ms=0)


class Watch(Processor):
    """Notes what passes, with its time."""

    def __init__(self) -> None:
        self.seen: list[tuple[int, Frame]] = []

    def _note(self, frame: Frame) -> None:
        self.seen.append((self.call.clock.at_ms(), frame))

    @observes(
        UserTurnFrame,
        UserStartedSpeakingFrame,
        UserStoppedSpeakingFrame,
        EagerTurnFrame,
        TurnResumedFrame,
        UserIdleFrame,
    )
    def on_turn(self, frame: Frame) -> None:
        self._note(frame)

    @observes(InterruptionFrame)
    def on_interruption(self, frame: InterruptionFrame) -> None:
        self._note(frame)

    @observes(PauseFrame)
    def on_pause(self, frame: PauseFrame) -> None:
        self._note(frame)

    @observes(ResumeFrame)
    def on_resume(self, frame: ResumeFrame) -> None:
        self._note(frame)

    @observes(TextFrame)
    def on_text(self, frame: TextFrame) -> None:
        self._note(frame)

    def times(self, frame_type: type[Frame]) -> list[int]:
        return [at for at, frame in self.seen if type(frame) is frame_type]

    @property
    def kinds(self) -> list[str]:
        return [type(frame).__name__.removesuffix("Frame") for _, frame in self.seen]

    @property
    def turns(self) -> list[UserTurnFrame]:
        return [frame for _, frame in self.seen if isinstance(frame, UserTurnFrame)]


class Talk:
    """A conversation in which the VAD and the recognizer are played by the test."""

    def __init__(self, call: Rig, watch: Watch, turns: Turns) -> None:
        self.call, self.watch, self.turns = call, watch, turns

    def started(self, ago_ms: int = 100) -> None:
        self.call.push(VADUserStartedSpeakingFrame(0.9, began_ms=self.now - ago_ms))

    def stopped(self, ago_ms: int = 200) -> None:
        self.call.push(VADUserStoppedSpeakingFrame(ended_ms=self.now - ago_ms))

    def final(self, text: str, confidence: float = 0.9, *others: str) -> None:
        alternatives = tuple(Alternative(other, 0.5) for other in others)
        self.call.push(TranscriptionFrame(text, confidence=confidence, alternatives=alternatives))

    def interim(self, text: str) -> None:
        self.call.push(InterimTranscriptionFrame(text))

    async def says(self, text: str | None, ms: int = 800, *, final_after_ms: int = 20) -> None:
        """Speak for so long; the VAD notices the end 200 ms later, and then the final words come."""
        await asyncio.sleep(0.1)
        self.started()
        await asyncio.sleep((ms + 200 - 100) / 1000)
        self.stopped()
        if text is not None:
            await asyncio.sleep(final_after_ms / 1000)
            self.final(text)

    def bot_says(self, text: str = "I have a free hour on Monday.", *, interruptible: bool = True) -> int:
        reply = self.call.call.say(text, interruptible=interruptible).number
        self.call.up(BotStartedSpeakingFrame(reply))
        return reply

    def bot_was_heard(self, reply: int, text: str = "I have a free hour on Monday.") -> None:
        self.call.up(BotStoppedSpeakingFrame(reply), HeardFrame(reply, text, complete=True, final=True))

    @property
    def now(self) -> int:
        return self.call.call.clock.at_ms()

    @property
    def discarded(self) -> list[str]:
        return [event.data["reason"] for event in self.call.events("speech.discarded")]


@asynccontextmanager
async def talk(settings: TurnSettings = FIXED, analyzer: TurnAnalyzer | None = None) -> AsyncIterator[Talk]:
    watch, turns = Watch(), Turns(settings, analyzer=analyzer)
    async with rig(turns, watch) as call:
        yield Talk(call, watch, turns)


async def wait(ms: int) -> None:
    await asyncio.sleep(ms / 1000)


# -- the end of a turn


async def test_a_turn_is_committed_after_the_silence_counted_from_the_end_of_speech() -> None:
    async with talk() as t:
        await t.says("I need an appointment")  # from 0 to 800
        await wait(2_000)
        assert t.watch.kinds == ["UserStartedSpeaking", "UserStoppedSpeaking", "UserTurn"]
        assert t.watch.times(UserTurnFrame) == [1_500]
        assert t.watch.turns[0].text == "I need an appointment"
        assert (t.watch.turns[0].turn, t.watch.turns[0].source, t.watch.turns[0].confidence) == (1, "speech", 0.9)


async def test_a_pause_shorter_than_the_silence_does_not_cut_the_turn() -> None:
    async with talk() as t:
        await t.says("I need an appointment")
        await wait(300)
        await t.says("on Thursday")
        await wait(2_000)
        assert [turn.text for turn in t.watch.turns] == ["I need an appointment on Thursday"]


async def test_the_turn_waits_for_final_words_that_are_late() -> None:
    async with talk() as t:
        await t.says("yes", 300, final_after_ms=700)  # the end of speech is at 300, the words come at 1,200
        await wait(3_000)
        assert t.watch.times(UserTurnFrame) == [1_200]


async def test_without_final_words_what_was_understood_so_far_is_the_turn() -> None:
    async with talk() as t:
        await wait(100)
        t.started()
        await wait(300)
        t.interim("I need")
        await wait(400)
        t.interim("I need help")
        await wait(200)
        t.stopped()  # ended at 800; no final ever comes
        await wait(3_000)
        assert [turn.text for turn in t.watch.turns] == ["I need help"]
        assert t.watch.times(UserTurnFrame) == [1_800]


async def test_words_that_still_change_hold_the_turn_until_they_are_stable() -> None:
    settings = FIXED.replace(stability_ms=450, transcript_wait_ms=1_000)
    async with talk(settings) as t:
        await wait(100)
        t.started()
        await wait(900)
        t.stopped()  # ended at 800
        await wait(400)
        t.interim("I need")  # at 1,400
        await wait(3_000)
        assert t.watch.times(UserTurnFrame) == [1_850]


@pytest.mark.parametrize("word", ["yes", "no", "two", "okay", "yeah"])
async def test_a_short_answer_is_never_swallowed(word: str) -> None:
    async with talk() as t:
        await t.says(word, 180)
        await wait(2_000)
        assert [turn.text for turn in t.watch.turns] == [word]


async def test_words_that_come_after_their_turn_are_a_turn_of_their_own() -> None:
    async with talk(FIXED.replace(transcript_wait_ms=500)) as t:
        await t.says("on Thursday", final_after_ms=4_000)
        await wait(3_000)
        assert [turn.text for turn in t.watch.turns] == ["", "on Thursday"]


@pytest.mark.parametrize(
    ("early", "final", "rest"),
    [
        ("I need help", "I need help.", []),
        ("I need help", "", []),
        ("I need", "I need help", ["help"]),
        ("I need", "No thanks", ["No thanks"]),
    ],
)
async def test_of_words_that_come_after_their_turn_only_those_that_it_did_not_have_are_another(
    early: str, final: str, rest: list[str]
) -> None:
    """As when the recognizer was connected anew: the turn has gone with words that were not final."""
    async with talk() as t:
        await wait(100)
        t.started()
        await wait(400)
        t.interim(early)
        await wait(400)
        t.stopped()
        await wait(2_500)
        t.interim(final)
        await wait(100)
        t.final(final)
        await wait(2_000)
        assert [turn.text for turn in t.watch.turns] == [early, *rest]
        await t.says(early)  # whoever says the same once more is heard
        await wait(2_000)
        assert [turn.text for turn in t.watch.turns] == [early, *rest, early]


async def test_speech_without_words_is_a_turn_without_text_and_a_click_is_nothing() -> None:
    async with talk() as t:
        await t.says("", 600)
        await wait(2_000)
        assert [turn.text for turn in t.watch.turns] == [""]
        await t.says("", 150)
        await wait(2_000)
        assert len(t.watch.turns) == 1
        assert t.discarded == ["noise"]


async def test_words_without_a_vad_make_turns_too() -> None:
    async with talk() as t:
        t.final("hello there")
        await wait(2_000)
        assert t.watch.kinds == ["UserStartedSpeaking", "UserStoppedSpeaking", "UserTurn"]
        assert t.watch.times(UserTurnFrame) == [700]


async def test_alternatives_reach_the_turn_when_it_came_in_one_piece() -> None:
    async with talk() as t:
        await t.says(None)
        t.final("Thursday", 0.6, "Tuesday")
        await wait(2_000)
        assert t.watch.turns[0].alternatives == (Alternative("Tuesday", 0.5),)


async def test_every_word_is_in_exactly_one_turn() -> None:
    async with talk(FIXED.replace(silence_ms=300)) as t:
        spoken = []
        for number in range(40):
            spoken.append(f"word{number}")
            await t.says(spoken[-1], 200 + 37 * number % 300, final_after_ms=13 * number % 90)
            await wait(31 * number % 400)
        await wait(2_000)
        assert " ".join(turn.text for turn in t.watch.turns).split() == spoken


async def test_what_was_said_until_the_end_of_the_call_is_in_the_record_and_asks_for_no_answer() -> None:
    async with talk() as t:
        await t.says("thank you goodbye")
        t.call.push(InputDTMFFrame("1"))
        await t.call.ends()
        assert not t.watch.turns
        committed = [(e.personal or {})["text"] for e in t.call.events("turn.committed")]
        assert committed == ["thank you goodbye", "1"]
        assert [event.data["why"] for event in t.call.events("turn.skipped")] == ["ended", "ended"]


# -- adaptive


async def test_adaptive_endpointing_waits_short_after_a_whole_and_long_after_a_part() -> None:
    settings = TurnSettings(idle_ms=0)
    adaptive = AdaptiveEndpointing(settings)

    def silence(text: str, expect: ExpectFrame | None = None) -> int:
        return adaptive.silence_ms(Pause(text=text, final=True, spoke_ms=800, expect=expect))

    assert silence("yes") == settings.min_silence_ms
    assert silence("I'd like to come on Thursday please") < settings.silence_ms
    assert silence("I'd like to come on") > 2 * settings.silence_ms
    assert silence("my number is five five five") > settings.silence_ms
    assert silence("my number is", ExpectFrame(phrases=("my number is",))) == settings.min_silence_ms
    assert silence("um") > 2 * settings.silence_ms


async def test_adaptive_endpointing_learns_from_a_caller_who_pauses_long() -> None:
    settings = TurnSettings()
    adaptive = AdaptiveEndpointing(settings)
    pause = Pause(text="something like that happened", final=True, spoke_ms=900)
    before = adaptive.silence_ms(pause)
    for pause_ms in (1_100, 200, 1_200, 1_300):
        adaptive.resumed(pause_ms)
    assert adaptive.silence_ms(pause) > before + 100
    assert adaptive.silence_ms(pause) <= settings.max_silence_ms


@pytest.mark.parametrize("text", ["", "…", "?", "-", "''", "日本語", "a" * 10_000])
def test_completeness_takes_any_text(text: str) -> None:
    assert 0 <= completeness(text) <= 1


async def test_an_analyzer_of_the_users_own_decides() -> None:
    class Patient(TurnAnalyzer):
        def __init__(self) -> None:
            self.pauses: list[int] = []

        def silence_ms(self, pause: Pause) -> int:
            return 1_200 if pause.text == "one" else 400

        def resumed(self, pause_ms: int) -> None:
            self.pauses.append(pause_ms)

    analyzer = Patient()
    async with talk(analyzer=analyzer) as t:
        await t.says("one", 400)
        await wait(500)  # began to speak again 920 ms after the end
        await t.says("two", 400)
        await wait(2_000)
        assert [turn.text for turn in t.watch.turns] == ["one two"]
        assert analyzer.pauses == [720]


# -- eager


async def test_an_eager_end_is_announced_and_taken_back_when_the_caller_goes_on() -> None:
    async with talk(TurnSettings(eager_ms=250, min_silence_ms=600, idle_ms=0)) as t:
        await t.says("on Thursday please")
        await wait(200)
        assert t.watch.kinds == ["UserStartedSpeaking", "EagerTurn"]
        await t.says("at ten please")
        await wait(2_000)
        assert t.watch.kinds == [
            "UserStartedSpeaking",
            "EagerTurn",
            "TurnResumed",
            "EagerTurn",
            "UserStoppedSpeaking",
            "UserTurn",
        ]
        assert [turn.text for turn in t.watch.turns] == ["on Thursday please at ten please"]


# -- interruption


async def test_speech_over_the_bot_holds_it_and_words_stop_it() -> None:
    async with talk() as t:
        t.bot_says()
        await wait(500)
        await t.says("wait please")  # from 600 to 1,400
        await wait(2_000)
        assert [kind for kind in t.watch.kinds if kind != "Text"] == [
            "Pause",
            "Interruption",
            "UserStartedSpeaking",
            "UserStoppedSpeaking",
            "UserTurn",
        ]
        assert t.watch.times(PauseFrame) == [800]  # 300 ms after it began
        assert t.watch.times(InterruptionFrame) == [1_520]
        assert [turn.text for turn in t.watch.turns] == ["wait please"]


async def test_a_cough_only_holds_the_bot() -> None:
    async with talk() as t:
        t.bot_says()
        await wait(500)
        await t.says("", 350)
        await wait(3_000)
        assert [kind for kind in t.watch.kinds if kind != "Text"] == ["Pause", "Resume"]
        assert t.discarded == ["noise"]
        assert not t.watch.turns


async def test_the_bot_goes_on_when_no_words_come_in_time() -> None:
    async with talk() as t:
        t.bot_says()
        await wait(500)
        await t.says(None, 400)  # the end of speech is at 900
        await wait(5_000)
        assert t.watch.times(ResumeFrame) == [500 + 400 + 2_000]


async def test_a_backchannel_does_not_stop_the_bot_while_it_has_more_to_say() -> None:
    async with talk() as t:
        t.call.sink.remaining_ms = lambda: 3_000  # type: ignore[method-assign]
        t.bot_says()
        await wait(500)
        await t.says("uh-huh", 400)
        await wait(3_000)
        assert [kind for kind in t.watch.kinds if kind != "Text"] == ["Pause", "Resume"]
        assert t.discarded == ["backchannel"]


async def test_a_backchannel_that_the_dialog_expects_is_an_answer() -> None:
    async with talk() as t:
        t.call.sink.remaining_ms = lambda: 3_000  # type: ignore[method-assign]
        t.call.up(ExpectFrame(phrases=("yeah", "nope")))
        t.bot_says()
        await wait(500)
        await t.says("yeah", 400)
        await wait(3_000)
        assert [turn.text for turn in t.watch.turns] == ["yeah"]


async def test_the_first_interim_words_stop_the_bot() -> None:
    async with talk() as t:
        t.bot_says()
        await wait(500)
        t.started()
        await wait(250)
        t.interim("wait")
        assert t.watch.times(InterruptionFrame) == [750]


async def test_a_minimum_of_words_to_interrupt() -> None:
    async with talk(FIXED.replace(interrupt_min_words=3)) as t:
        t.bot_says()
        await wait(500)
        t.started()
        await wait(500)
        t.interim("wait a")
        assert "Interruption" not in t.watch.kinds
        t.interim("wait a moment")
        assert "Interruption" in t.watch.kinds


async def test_long_speech_stops_the_bot_without_words() -> None:
    async with talk() as t:
        t.bot_says()
        await wait(500)
        t.started(ago_ms=100)
        await wait(3_000)
        assert t.watch.times(InterruptionFrame) == [400 + 1_500]


async def test_a_reply_that_may_not_be_interrupted_is_not_and_the_words_are_kept() -> None:
    async with talk() as t:
        t.bot_says("This call is recorded.", interruptible=False)
        await wait(500)
        await t.says("I need help")
        await wait(2_000)
        assert "Pause" not in t.watch.kinds
        assert "Interruption" not in t.watch.kinds
        assert [turn.text for turn in t.watch.turns] == ["I need help"]


async def test_the_caller_goes_on_while_the_answer_is_being_made() -> None:
    async with talk() as t:
        await t.says("I need an appointment")
        await wait(600)
        t.call.source.begin_reply(1)  # an agent is thinking about it
        await t.says("on Thursday")
        await wait(2_000)
        assert [turn.text for turn in t.watch.turns] == ["I need an appointment", "on Thursday"]
        assert "Interruption" in t.watch.kinds


async def test_a_bot_that_begins_while_the_caller_speaks_is_held_at_once() -> None:
    async with talk() as t:
        await wait(100)
        t.started()
        await wait(300)
        t.bot_says()
        assert t.watch.times(PauseFrame) == [400]
        await wait(300)
        t.stopped()
        t.final("hello")
        await wait(2_000)
        assert t.watch.kinds[-2:] == ["UserStoppedSpeaking", "UserTurn"]
        assert "Interruption" in t.watch.kinds


async def test_others_ask_for_an_interruption_by_a_frame() -> None:
    async with talk() as t:
        t.bot_says()
        t.call.push(InterruptionRequestFrame("guardrail"))
        assert t.watch.kinds[-1] == "Interruption"
        await wait(10)
        t.bot_says()
        await wait(10)
        t.call.up(InterruptionRequestFrame("operator"))
        await wait(10)
        assert t.watch.kinds.count("Interruption") == 2


# -- echo by its words


def test_own_words_are_known_by_their_order() -> None:
    said = ["I have a free hour on Monday.", "Shall I book it?"]
    assert own_words("free hour on Monday", said)
    assert own_words("on monday shall I", said)
    assert own_words("free our on Monday", said)  # misheard
    assert not own_words("on Monday", said)  # two words may be an answer
    assert not own_words("Monday on hour free", said)
    assert not own_words("", said)


async def test_the_bots_own_words_are_no_turn_and_do_not_stop_it() -> None:
    async with talk() as t:
        reply = t.bot_says()
        t.call.up(HeardFrame(reply, "I have a free hour "))
        await t.says("have a free hour", 700)
        await wait(3_000)
        assert t.discarded == ["echo"]
        assert not t.watch.turns
        assert "Interruption" not in t.watch.kinds


async def test_without_a_vad_words_right_after_the_bot_are_its_echo() -> None:
    async with talk() as t:
        t.bot_was_heard(t.bot_says())
        await wait(300)
        t.final("free hour monday")
        await wait(200)
        t.final("yes please")
        await wait(2_000)
        assert t.discarded == ["echo"]
        assert [turn.text for turn in t.watch.turns] == ["yes please"]


# -- keys


def test_an_entry_of_keys_ends_at_the_hash_at_its_length_or_with_take() -> None:
    keypad = Keypad()
    assert [keypad.press(key, 0) for key in "12#"] == [None, None, "12"]
    assert [keypad.press(key, 2) for key in "12"] == [None, "12"]
    assert keypad.press("#", 0) == "#"
    assert keypad.press("9", 0) is None
    assert keypad.take() == "9"
    assert not keypad.waiting
    assert max(len(entry) for entry in [keypad.press("1", 0) for _ in range(500)] if entry) == 64


async def test_keys_are_a_turn_and_stop_the_bot_at_once() -> None:
    async with talk() as t:
        t.call.up(ExpectFrame(digits=1))
        t.bot_says()
        t.call.push(InputDTMFFrame("2"))
        assert [kind for kind in t.watch.kinds if kind != "Text"] == [
            "Interruption",
            "UserStartedSpeaking",
            "UserStoppedSpeaking",
            "UserTurn",
        ]
        assert (t.watch.turns[0].text, t.watch.turns[0].source) == ("2", "dtmf")


async def test_keys_of_no_expected_number_wait_for_a_pause() -> None:
    async with talk() as t:
        for key in "0312":
            t.call.push(InputDTMFFrame(key))
            await wait(400)
        await wait(3_000)
        assert [turn.text for turn in t.watch.turns] == ["0312"]
        assert t.watch.times(UserTurnFrame) == [1_200 + 2_500]


async def test_the_tone_of_a_key_is_no_turn_without_words() -> None:
    async with talk() as t:
        await wait(100)
        t.started()
        t.call.push(InputDTMFFrame("5"), InputDTMFFrame("#"))
        await wait(500)
        t.stopped()
        t.final("")
        await wait(3_000)
        assert [turn.text for turn in t.watch.turns] == ["5"]


# -- idleness


async def test_an_idle_caller_is_asked_twice_and_then_the_call_ends() -> None:
    async with talk(TurnSettings(idle_ms=5_000)) as t:
        texts = []
        for _ in range(4):
            await wait(5_100)
            replies = list(t.call.call.replies.open)
            for reply in replies:
                t.call.up(BotStartedSpeakingFrame(reply))
                t.bot_was_heard(reply, "…")
            texts = [frame.text for _, frame in t.watch.seen if isinstance(frame, TextFrame)]
        assert texts == ["Are you still there?", "Are you still there?", "I cannot hear you. Goodbye."]
        assert await t.call.call.wait_ended() == "idle"
        assert [event.data["count"] for event in t.call.events("speech.idle")] == [1, 2]


async def test_a_turn_resets_the_count_and_a_bot_that_is_to_be_silent_does_not_ask() -> None:
    async with talk(TurnSettings(idle_ms=5_000, idle_prompt="", idle_reprompts=5)) as t:
        t.call.call.turns.hush("on hold")
        await wait(20_000)
        assert "UserIdle" not in t.watch.kinds
        t.call.call.turns.hush(None)
        await wait(12_000)
        await t.says("hello")
        await wait(9_000)
        counts = [frame.count for _, frame in t.watch.seen if isinstance(frame, UserIdleFrame)]
        assert counts == [1, 2, 1]


async def test_no_idle_timer_runs_while_the_bot_speaks() -> None:
    async with talk(TurnSettings(idle_ms=5_000)) as t:
        reply = t.bot_says()
        await wait(30_000)
        t.bot_was_heard(reply)
        assert "UserIdle" not in t.watch.kinds
        await wait(5_001)
        assert "UserIdle" in t.watch.kinds


# -- settings


async def test_settings_change_in_a_running_call() -> None:
    async with talk() as t:
        t.call.push(UpdateSettingsFrame("Turns", {"silence_ms": 300}))
        await t.says("hello")
        await wait(1_000)
        assert t.watch.times(UserTurnFrame) == [1_100]


@pytest.mark.parametrize(
    ("name", "silence_ms", "stability_ms", "threshold"),
    [
        ("default", 700, 450, 0.015),
        ("chat", 500, 420, 0.016),
        ("guided-intake", 1_200, 1_200, 0.010),
        ("dictation", 1_200, 1_200, 0.010),
        ("noisy-room", 2_100, 1_650, 0.020),
        ("reliability", 2_000, 1_600, 0.020),
        ("pstn-balanced", 660, 300, 0.015),
        ("pstn-fast", 620, 280, 0.015),
    ],
)
def test_presets_resolve_to_their_numbers(name: str, silence_ms: int, stability_ms: int, threshold: float) -> None:
    found = preset(name)
    assert (found.turn.silence_ms, found.turn.stability_ms, found.threshold) == (silence_ms, stability_ms, threshold)
    assert name in PRESETS
    assert len(PRESETS) == 8


def test_a_preset_tells_where_each_value_came_from() -> None:
    def sources(name: str, **explicit: int) -> dict[str, str]:
        return {setting.name: setting.source for setting in preset(name, **explicit).turn.describe()}

    assert sources("pstn-fast")["silence_ms"] == "preset pstn-fast"
    assert sources("chat")["silence_ms"] == "quality profile short-command"
    assert sources("default")["silence_ms"] == "turn profile fast"
    assert sources("pstn-fast", silence_ms=500)["silence_ms"] == "code"
    assert preset("pstn-fast", silence_ms=500, threshold=0.02).threshold == 0.02
    assert round(preset("noisy-room").threshold_dbfs) == -34


def test_an_unknown_preset_and_a_wrong_value_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="pstn-fast"):
        preset("pstn")
    with pytest.raises(ConfigurationError, match="threshold"):
        preset("default", threshold=2)
    with pytest.raises(ConfigurationError, match="silence_ms"):
        preset("default", silence_ms="long")
