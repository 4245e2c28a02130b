"""A caller who asks for another language, or speaks it, is answered in it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voiceframe import Agent, Call, Pipeline, Processor, handles
from voiceframe.audio import AudioFormat
from voiceframe.errors import MannersError
from voiceframe.frames import (
    ExpectFrame,
    StartFrame,
    TextFrame,
    TranscriptionFrame,
    UpdateSettingsFrame,
    UserTurnFrame,
)
from voiceframe.processors import (
    STT,
    EnergyVAD,
    EspeakTTS,
    IdleSettings,
    Language,
    LanguageSettings,
    Manners,
    PocketSphinxSTT,
    Turns,
    TurnSettings,
)
from voiceframe.processors.agents import Squad
from voiceframe.processors.manners.languages import Tongue
from voiceframe.processors.manners.phrases import plain
from voiceframe.processors.manners.tongues import SMALL_WORDS, guess
from voiceframe.processors.stt import STTStream
from voiceframe.testing import ScriptedLLM, ToneTTS, dial
from voiceframe.testing.run import Rig, rig
from voiceframe.testing.voices import Voice, speech

ENGLISH = Language("en-US", confirm="Of course, in English.")
SPANISH = Language("es-MX", voice="es-419", confirm="Claro, seguimos en español.", stt=None)
GERMAN = Language("de", voice="de", instructions="Sprich Deutsch.", stt=None)
LANGUAGES = (ENGLISH, SPANISH, GERMAN)
GRAMMAR = """#JSGF V1.0;
grammar talk;
public <talk> = can we speak spanish please | i need an appointment ;"""


class Grammar(Processor):
    """Lets the recognizer hear what the test says."""

    @handles(StartFrame)
    def on_start(self, frame: StartFrame) -> None:
        self.push(ExpectFrame(jsgf=GRAMMAR), upstream=True)


async def test_a_caller_who_asks_for_spanish_is_answered_in_spanish() -> None:
    pytest.importorskip("pocketsphinx")
    model = ScriptedLLM(["¿Qué día le conviene?"])
    agent, voice = Agent("clinic", "You book appointments.", model), EspeakTTS()

    def bot(call: Call) -> Pipeline:
        manners = Manners(languages=LANGUAGES)
        hearing = manners.around(EnergyVAD(), PocketSphinxSTT(), Turns(TurnSettings(idle_ms=0)))
        return Pipeline([call.transport.input(), *hearing, Grammar(), agent, voice, call.transport.output()])

    who = Voice("en-us", 150, 50, -20.0)
    async with dial(bot, via="audio", voice=lambda text: speech(text, who)) as caller:
        assert caller.call.data["language"] == "en-US"
        await caller.says("can we speak spanish please")
        await caller.hears("claro, seguimos en español", within_ms=6_000)
        assert (voice.voice, caller.call.data["language"]) == ("es-419", "es-MX")
        assert not model.requests  # the request is answered
        await caller.says("i need an appointment")
        await caller.hears("qué día", within_ms=6_000)
    (switched,) = caller.record.of("language.switched")
    assert switched.data == {
        "from_": "en-US",
        "to": "es-MX",
        "why": "asked",
        "turns": 1,
        "confidence": switched.data["confidence"],
    }
    instructions = model.requests[0].messages[0].text
    assert instructions.startswith("You book appointments.")
    assert "Spanish" in instructions
    assert caller.record.outcomes == {1: "answered", 2: "answered"}


class Recognizer(STT):
    """A recognizer that takes another language, and is told by the test what it hears."""

    language = "en"

    def __init__(self) -> None:
        super().__init__()
        self.told: list[dict[str, object]] = []

    async def open(self, format: AudioFormat, language: str) -> STTStream:
        raise NotImplementedError

    @handles(UpdateSettingsFrame)
    def on_settings(self, frame: UpdateSettingsFrame) -> None:
        if frame.target == self.name:
            self.told.append(dict(frame.changes))


async def test_the_recognizer_is_told_the_language_and_what_else_is_declared() -> None:
    stt = Recognizer()
    italian = Language("it", stt={"model": "nova-3"})
    around = Manners(languages=[ENGLISH, italian]).around(stt, Turns(TurnSettings(idle_ms=0)))
    async with rig(*around, Answers()) as call:
        await say(call, "possiamo parlare italiano")
        await say(call, "english please")
    assert stt.told == [{"language": "it", "model": "nova-3"}, {"language": "en"}]


class Answers(Processor):
    def __init__(self) -> None:
        self.turns: list[str] = []

    @handles(UserTurnFrame)
    def on_turn(self, frame: UserTurnFrame) -> None:
        self.turns.append(frame.text)
        self.call.say("Yes.")


async def say(call: Rig, text: str, language: str | None = None, confidence: float = 0.9) -> None:
    call.push(TranscriptionFrame(text, language, confidence))
    await asyncio.sleep(4)


def spoken(call: Rig) -> list[str]:
    return [frame.text for frame in call.result.down if isinstance(frame, TextFrame)]


async def test_the_recognizers_word_switches_after_two_turns_and_back_after_two() -> None:
    answers = Answers()
    around = Manners(languages=LANGUAGES).around(Turns(TurnSettings(idle_ms=0)))
    async with rig(*around, answers) as call:
        await say(call, "quiero una cita para mañana", "es")
        assert not call.events("language.switched")
        await say(call, "I mean tomorrow morning then", "en-US")
        await say(call, "por la mañana si es posible", "es")
        assert not call.events("language.switched")  # one English turn between them
        await say(call, "a las diez de la mañana", "es")
        (switched,) = call.events("language.switched")
        assert (switched.data["to"], switched.data["why"], switched.data["turns"]) == ("es-MX", "heard", 2)
        await say(call, "ok", "en")
        await say(call, "yes that is what I want", "en")
        await say(call, "thank you for the appointment", "en")
        assert [event.data["to"] for event in call.events("language.switched")] == ["es-MX", "en-US"]
    assert answers.turns[3] == "a las diez de la mañana"  # the turn itself is answered as well
    assert spoken(call).count(SPANISH.confirm) == 1
    assert spoken(call).count(ENGLISH.confirm) == 1


async def test_a_recognizer_that_hears_all_languages_and_says_none_is_helped_by_small_words() -> None:
    around = Manners(languages=LANGUAGES, language=LanguageSettings(turns=2)).around(Turns(TurnSettings(idle_ms=0)))
    async with rig(*around, Answers()) as call:
        await say(call, "ich möchte bitte einen Termin", "multi")
        await say(call, "das ist für mich und nicht für Sie", None)
        (switched,) = call.events("language.switched")
        assert switched.data["to"] == "de"


async def test_words_that_are_not_sure_switch_nothing() -> None:
    around = Manners(languages=LANGUAGES).around(Turns(TurnSettings(idle_ms=0)))
    async with rig(*around, Answers()) as call:
        for _ in range(4):
            await say(call, "quiero una cita para mañana", "es", confidence=0.4)
            await say(call, "no", "es")
        assert not call.events("language.switched")


async def test_what_is_said_beside_the_request_is_answered_too() -> None:
    answers = Answers()
    around = Manners(languages=LANGUAGES).around(Turns(TurnSettings(idle_ms=0)))
    async with rig(*around, answers) as call:
        await say(call, "can we speak Spanish because my mother is here and she needs an appointment")
        assert len(call.events("language.switched")) == 1
    assert len(answers.turns) == 1
    assert spoken(call) == [SPANISH.confirm, "Yes."]


async def test_the_program_may_switch_and_what_manners_say_is_in_that_language() -> None:
    says = {"Are you there?": "¿Sigue ahí?", "Goodbye.": "Adiós."}
    spanish = Language("es", voice="es", says=says, stt=None)
    idle = IdleSettings(after_ms=2_000, prompts=("Are you there?",), goodbye="Goodbye.")
    manners = Manners(idle=idle, languages=[ENGLISH, spanish])

    def bot(call: Call) -> Pipeline:
        return Pipeline(
            [call.transport.input(), *manners.around(Turns()), Answers(), ToneTTS(), call.transport.output()]
        )

    async with dial(bot, via="audio") as caller:
        await caller.hears("are you there", within_ms=3_000)
        manners.switch("es-AR")
        assert manners.language == "es"
        with pytest.raises(MannersError) as raised:
            manners.switch("fr")
        assert raised.value.code == "manners.unknown-language"
        assert "en-US, es" in str(raised.value)
        await caller.hears_the_end()
    assert caller.record.heard == ["Are you there?", "Adiós."]
    assert caller.record.of("language.switched")[0].data["why"] == "program"


async def test_the_voice_and_the_agent_get_back_what_they_had() -> None:
    agent, voice = Agent("clinic", lambda call: f"Call {call.id}.", ScriptedLLM(["Hi."], repeat=True)), EspeakTTS()
    manners = Manners(languages=LANGUAGES)

    def bot(call: Call) -> Pipeline:
        around = manners.around(EnergyVAD(), Turns(TurnSettings(idle_ms=0)))
        return Pipeline([call.transport.input(), *around, agent, voice, call.transport.output()])

    async with dial(bot, via="audio") as caller:
        before = agent.instructions
        for code, name in (("de", "de"), ("es", "es-419"), ("en", "en-us")):
            manners.switch(code)
            await caller.waits(3_000)
            assert voice.voice == name
            text = agent.instructions(caller.call) if callable(agent.instructions) else agent.instructions
            assert ("Sprich Deutsch." in text) is (code == "de")
        assert agent.instructions is before


async def test_everybody_in_a_squad_speaks_the_language_and_a_voice_of_its_own_does_not_stay() -> None:
    triage = Agent("triage", "Sort callers.", ScriptedLLM(["Hi."], repeat=True), description="first")
    billing = Agent("billing", "Bills.", ScriptedLLM(["Hi."], repeat=True), description="bills", voice="en-us+f2")
    manners, voice = Manners(languages=LANGUAGES), EspeakTTS()

    def bot(call: Call) -> Pipeline:
        around = manners.around(EnergyVAD(), Turns(TurnSettings(idle_ms=0)))
        squad = Squad([triage, billing], start="triage")
        return Pipeline([call.transport.input(), *around, squad, voice, call.transport.output()])

    async with dial(bot, via="audio") as caller:
        manners.switch("es")
        await caller.waits(1_000)
        assert "Spanish" in str(triage.instructions)
        assert "Spanish" in str(billing.instructions)
        assert (triage.voice, billing.voice, voice.voice) == (None, "es-419", "es-419")
        manners.switch("en")
        await caller.waits(1_000)
        assert (triage.instructions, billing.instructions) == ("Sort callers.", "Bills.")
        assert (billing.voice, voice.voice) == ("en-us+f2", "en-us")


def tongue(*languages: Language) -> Tongue:
    return Tongue(languages or LANGUAGES, LanguageSettings())


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("Can we speak Spanish?", "es-MX"),
        ("could you talk to me in Spanish, please", "es-MX"),
        ("Spanish please", "es-MX"),
        ("en español por favor", "es-MX"),
        ("¿Habla español?", "es-MX"),
        ("I would prefer Spanish", "es-MX"),
        ("is there somebody who speaks German", "de"),
        ("Sprechen Sie Deutsch?", "de"),
        ("auf Deutsch bitte", "de"),
        ("switch to German now", "de"),
        ("I don't speak Spanish", None),
        ("no hablo español", None),
        ("I teach a Spanish class", None),
        ("I want to speak about my Spanish class", None),
        ("how do you like the German food", None),
        ("can we speak English", None),  # they do
        ("speak", None),
        ("", None),
    ],
)
def test_who_asks_for_a_language_and_who_only_names_it(text: str, code: str | None) -> None:
    switch = tongue().hear(text, None, 0.9)
    assert (switch.language.code if switch else None) == code


@given(st.text(max_size=60), st.none() | st.text(max_size=6), st.floats(0, 1))
def test_no_words_are_too_odd(text: str, tag: str | None, confidence: float) -> None:
    tongue().hear(text, tag, confidence)


@given(st.lists(st.tuples(st.sampled_from(["es", "en-US", "de", "multi", None]), st.floats(0, 1)), max_size=30))
def test_nothing_switches_that_was_not_heard_twice_in_a_row(heard: list[tuple[str | None, float]]) -> None:
    following = tongue()
    run: list[str] = []
    for tag, confidence in heard:
        switch = following.hear("alpha beta gamma", tag, confidence)
        found = following.find(tag) if tag else None
        if confidence >= 0.6 and found is not None:
            run.append(found.code)
        if switch is not None:
            assert run[-2:] == [switch.language.code] * 2
            run = []


def test_small_words_belong_to_one_language_mostly() -> None:
    sentences = {
        "en": "I would like to have an appointment for my mother, please",
        "es": "Hola, quiero una cita para mi madre, por favor, es para mañana",
        "de": "Guten Tag, ich möchte einen Termin für meine Mutter, das ist wichtig",
        "fr": "Bonjour, je voudrais un rendez-vous pour ma mère, est-ce que c'est possible",
        "it": "Buongiorno, vorrei un appuntamento per mia madre, non è urgente",
        "pt": "Bom dia, eu quero uma consulta para a minha mãe, não é urgente",
        "nl": "Goedemorgen, ik wil graag een afspraak voor mijn moeder",
    }
    for code, text in sentences.items():
        found = guess(plain(text), list(SMALL_WORDS))
        assert found is not None, code
        assert found[0] == code
    assert guess(plain("okay"), list(SMALL_WORDS)) is None


@pytest.mark.parametrize(
    ("make", "code"),
    [
        (lambda: Manners(languages=[ENGLISH]), "manners.languages"),
        (lambda: Manners(languages=[ENGLISH, Language("EN-us")]), "manners.languages"),
        (lambda: Language("Spanish!"), "manners.language"),
        (lambda: Language("gsw"), "manners.language"),
        (lambda: Manners(idle=True, languages=[ENGLISH, SPANISH]), "manners.untranslated"),
        (
            lambda: Manners(languages=[ENGLISH, Language("fr", voice="fr")]).around(PocketSphinxSTT()),
            "manners.one-language",
        ),
    ],
)
def test_languages_that_cannot_be_switched_between_are_refused(make: Callable[[], object], code: str) -> None:
    with pytest.raises(MannersError) as raised:
        make()
    assert raised.value.code == code


async def test_a_voice_that_speaks_one_language_must_have_another() -> None:
    around = Manners(languages=[ENGLISH, Language("fr", stt=None)]).around(EnergyVAD(), Turns())
    async with rig(*around, EspeakTTS()) as call:
        await call.call.wait_ended()
    failed = [event for event in call.result.events if event.kind == "processor.failed"]
    assert "manners.no-voice" in str(failed[0].data) + str(failed[0].personal)
