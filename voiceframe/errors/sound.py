"""Errors of audio, of hearing, of speaking and of recording."""

from __future__ import annotations

from .base import Explanation, VoiceframeError

__all__ = ["AudioError", "GrammarError", "RecognitionError", "RecordingError", "SpeechError"]


class AudioError(VoiceframeError):
    """Audio in a format that does not fit."""

    codes = {
        "audio.encoding": Explanation(
            "{encoding} is not an audio encoding that Voiceframe knows.",
            "Use one of {known} in `AudioFormat(encoding, rate, channels)`.",
        ),
        "audio.no-converter": Explanation(
            "There is no converter from {source} to {target}.",
            "Ask for one channel, `AudioFormat(encoding, rate)`, or convert with your own processor.",
        ),
        "audio.codec": Explanation(
            "{codec} is not a codec that Voiceframe knows.",
            "Use one of {known} in `Encoder(codec)` and `Decoder(codec)`.",
        ),
        "audio.codec-rate": Explanation(
            "{codec} does not encode audio at {rate} Hz.",
            "Use one of {rates} in `Encoder(codec, rate)`; `audio.pcm(rate)` converts.",
        ),
        "audio.packet": Explanation(
            "{size} bytes are no packet of {codec}: {error}.",
            "Pass whole packets to `Decoder.decode(packet)`, and `None` for one that is lost.",
        ),
        "audio.key": Explanation(
            "{key} is no key of a telephone.",
            "Use some of {keys} in `dtmf(digits)`.",
        ),
        "audio.length": Explanation(
            "{size} bytes are no whole number of samples of {format}.",
            "Give `Audio` and `AudioStream.add` whole samples: a multiple of {sample} bytes.",
        ),
        "audio.rate": Explanation(
            "{rate} Hz with {channels} channels is not a format of speech.",
            "Use a rate from 8000 to 48000 Hz and 1 or 2 channels in `AudioFormat(encoding, rate, channels)`.",
        ),
    }


class SpeechError(VoiceframeError):
    """A voice cannot speak: it is not there, or it has failed; or a clip cannot be played."""

    codes = {
        "tts.voice": Explanation(
            "espeak-ng has no voice {voice}.",
            "Name a language and perhaps a variant, as in `en-us+f2`; `voiceframe.espeak.voices()` has them all.",
        ),
        "tts.engine": Explanation(
            "espeak-ng has failed with status {status}.",
            "Install it anew with `pip install --force-reinstall espeakng-loader`.",
        ),
        "tts.silent": Explanation(
            "{processor} has made no sound of reply {reply} for {waited_ms} ms; the reply ends where it is.",
            "If the voice is slow, raise `silence_ms` of its settings; otherwise look for its failure before this one.",
        ),
        "tts.stream-ended": Explanation(
            "The stream of {processor} has ended while reply {reply} was being spoken.",
            "See what the voice has logged; a new stream by `open()` speaks the rest, once for each reply.",
        ),
        "tts.lexicon": Explanation(
            "{entry} does not say how a word is pronounced.",
            "Write `word=respelling` or, in phonemes, `word=/.../` into the setting `lexicon` of the voice.",
        ),
        "tts.clip": Explanation(
            "The clip {path} cannot be played: {reason}.",
            "Give `call.play(...)` a WAV file of 8 to 32 bits, µ-law or A-law; FLAC and Ogg need `voiceframe[codecs]`.",
        ),
        "tts.clip-long": Explanation(
            "The clip {path} lasts more than {limit_ms} ms; what was beyond that is not played.",
            "Raise `clip_ms` of the voice's settings, or cut the file.",
        ),
    }


class RecognitionError(VoiceframeError):
    """A recognizer cannot hear, or does not know what to listen for."""

    codes = {
        "stt.late": Explanation(
            "{processor} has given no result within {waited_ms} ms of the end of speech.",
            "If the recognizer is slow, raise `STTSettings(result_ms=...)`; else look for its failure before this one.",
        ),
        "stt.ended": Explanation(
            "The stream of {processor} has ended before the call.",
            "See what the recognizer has logged; the next speech opens a new stream by `open()`.",
        ),
        "stt.no-vad": Explanation(
            "Nobody tells {processor} when the caller speaks: there is no VAD before it.",
            "Put one there: `SileroVAD()`; `DeepgramFluxSTT` and `CartesiaTurnsSTT` do without.",
        ),
        "stt.no-turns": Explanation(
            "{processor} is to end turns where the recognizer does, and no recognizer before it says where that is.",
            'Take `DeepgramFluxSTT` or `CartesiaTurnsSTT`, or `TurnSettings(endpointing="adaptive")`.',
        ),
        "stt.no-grammar": Explanation(
            "{processor} has no grammar for what the caller says: the dialog has sent no `ExpectFrame` with one.",
            "Use a `Flow`, or push `ExpectFrame(jsgf=...)` upstream; free dictation is poor and must be asked for by "
            "`PocketSphinxSettings(dictation=True)`.",
        ),
        "stt.pronunciation": Explanation(
            "{processor} does not know how {words} sounds.",
            'Say it in `PocketSphinxSettings(pronunciations=...)`: `("nguyen W IH N",)`; or spell it as English words.',
        ),
        "stt.model": Explanation(
            "PocketSphinx has refused {what}.",
            "Install it anew: `pip install --force-reinstall pocketsphinx`; report the grammar if that does not help.",
        ),
    }


class GrammarError(VoiceframeError):
    """A grammar in JSpeech Grammar Format that cannot be used."""

    codes = {
        "jsgf.syntax": Explanation(
            "The grammar cannot be read at line {line}, column {column}: {error}.",
            "Correct the text; `voiceframe.jsgf.parse(text)` says the same without a call.",
        ),
        "jsgf.rule": Explanation(
            "The rule <{rule}> at line {line}, column {column} {error}.",
            "Define each rule once, `<{rule}> = ...;`, and say `*` or `+` instead of letting it contain itself.",
        ),
        "jsgf.size": Explanation(
            "The grammar {grammar} is too large to be compiled.",
            "Take alternatives out of it: `voiceframe.jsgf.parse(text).machine` must have fewer than 50,000 states.",
        ),
    }


class RecordingError(VoiceframeError):
    """A call cannot be recorded, or not any longer. A call that has begun goes on without its recording."""

    codes = {
        "recording.format": Explanation(
            "{path!r} does not say as what the call is to be recorded.",
            'Let it end in `.wav`, `.flac` or `.opus`, or pass `format="wav"`.',
        ),
        "recording.template": Explanation(
            "{path!r} has {found} in it, which stands for nothing.",
            'Only `{placeholder}` is filled in, with the id of the call: `Recorder("recordings/{placeholder}.wav")`.',
        ),
        "recording.failed": Explanation(
            "The recording {path} has stopped after {duration_ms} ms: {error}.",
            "Make room, or give another place in `Recorder(path)`. What was recorded until then can be played.",
        ),
        "recording.slow": Explanation(
            "The disk takes the recording {path} more slowly than the call goes on: {count} s of it wait.",
            "Give a faster disk in `Recorder(path)`. What was recorded until then can be played.",
        ),
    }
