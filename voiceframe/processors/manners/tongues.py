"""What languages are called by those who ask for them, and by which small words they are known."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

__all__ = ["NAMES", "SMALL_WORDS", "guess"]

#: By the first part of a BCP 47 tag: in English first, then in itself and by its neighbours. Without accents.
NAMES: Final[Mapping[str, tuple[str, ...]]] = {
    "ar": ("arabic",),
    "cs": ("czech", "cesky", "cestina"),
    "da": ("danish", "dansk"),
    "de": ("german", "deutsch", "aleman", "allemand", "tedesco"),
    "el": ("greek",),
    "en": ("english", "ingles", "anglais", "englisch", "inglese", "engels"),
    "es": ("spanish", "espanol", "castellano", "espagnol", "spanisch", "spagnolo", "espanhol"),
    "fi": ("finnish", "suomi", "suomea"),
    "fr": ("french", "francais", "frances", "franzosisch", "francese"),
    "he": ("hebrew",),
    "hi": ("hindi",),
    "hu": ("hungarian", "magyar", "magyarul"),
    "it": ("italian", "italiano", "italien", "italienisch"),
    "ja": ("japanese", "nihongo"),
    "ko": ("korean",),
    "nl": ("dutch", "nederlands"),
    "no": ("norwegian", "norsk"),
    "pl": ("polish", "polski", "polsku"),
    "pt": ("portuguese", "portugues", "portugais", "portugiesisch"),
    "ro": ("romanian", "romana"),
    "ru": ("russian",),
    "sv": ("swedish", "svenska"),
    "tr": ("turkish", "turkce"),
    "uk": ("ukrainian",),
    "vi": ("vietnamese",),
    "zh": ("chinese", "mandarin"),
}

#: Words that hardly a sentence is without, and that the others here do not have. Without accents.
SMALL_WORDS: Final[Mapping[str, frozenset[str]]] = {
    code: frozenset(words.split())
    for code, words in {
        "de": "ich und nicht ist ein eine der das mit fur auf wir sie haben habe einen mochte bitte kann wie auch zu",
        "en": "the i you and to is it of that my for have with can what would we not this please want are your need",
        "es": "el los las que y para por con una yo quiero necesito usted esta es hola mi como tengo puede gracias",
        "fr": "le les je et est vous pour une des dans avec bonjour suis pas mon voudrais ce qui du nous merci au",
        "it": "il che di e per sono non una con mi vorrei ho gli questo buongiorno grazie della anche posso ciao",
        "nl": "het een ik en niet van dat voor met wij zijn heb graag wil mijn kan ook u naar de alstublieft",
        "pt": "o os que nao uma para com eu voce preciso quero meu por obrigado obrigada tenho esta isso ola bom",
    }.items()
}


def guess(words: list[str], among: list[str]) -> tuple[str, float] | None:
    """The language of these words (as `phrases.plain` has them) by the small ones, and how sure that is; None if it is
    open. among: first parts of tags."""
    known = {code: sum(word in SMALL_WORDS[code] for word in words) for code in among if code in SMALL_WORDS}
    if len(known) < 2 or len(words) < 3:
        return None
    (best, count), (_, second) = sorted(known.items(), key=lambda item: -item[1])[:2]
    if count < 2 or count < 2 * second:
        return None
    return best, count / (count + second)
