"""What a call is about: the record that it is to fill, or the matter for which it was placed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from .errors import DialError

if TYPE_CHECKING:
    from .call import Call

__all__ = ["About", "Subject", "set_subject", "subject_of"]


@dataclass(frozen=True, slots=True)
class Subject:
    """A record of the application's: its type and its id there, `Subject("appointment", "4711")`.

    In the instructions of the call's agent it is `{{ data.subject.type }}` and `{{ data.subject.id }}`.
    """

    type: str
    id: str

    @classmethod
    def of(cls, about: About) -> Subject:
        """The subject that a pair names. Raises `DialError` (`dial.subject`) for anything but two texts."""
        if isinstance(about, Subject):
            pair: object = (about.type, about.id)
        else:
            pair = about
        if (
            not isinstance(pair, tuple | list)
            or len(pair) != 2
            or not all(isinstance(part, str) and part.strip() for part in pair)
        ):
            raise DialError.of("dial.subject", what=repr(about)[:80])
        return cls(*pair)


#: A subject, or its type and id.
About: TypeAlias = Subject | tuple[str, str]


def set_subject(call: Call, about: About) -> Subject:
    """Say what a call is about: in its bot, so that the instructions can name it. It lies in `call.data`."""
    subject = Subject.of(about)
    call.data["subject"] = subject
    return subject


def subject_of(call: Call) -> Subject | None:
    """What a call is about, if anybody has said: for tools, `subject_of(ctx.call)`."""
    found = call.data.get("subject") or call.metadata.get("subject")
    if isinstance(found, Subject):
        return found
    if isinstance(found, Mapping) and isinstance(found.get("type"), str) and isinstance(found.get("id"), str):
        return Subject(found["type"], found["id"])
    return None
