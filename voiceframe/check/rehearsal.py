"""A rehearsal: the pipeline of a call that nobody makes, linked and never started; or why there is none."""

from __future__ import annotations

import asyncio
import inspect
from dataclasses import dataclass
from typing import Any, Final

from ..app import App, Bot
from ..audio import PCMU_8K
from ..call import Call
from ..errors import LinkError
from ..pipeline import Pipeline
from ..subject import Subject as About
from ..tools.calling_out import VoiceCall
from ..transports.media import MediaTransport
from .cast import tools_in

__all__ = ["Rehearsal", "rehearse", "rehearse_targets"]

#: Time that the bot has to make its pipeline.
BUILD_S: Final = 10
_SID: Final = "CA" + "0" * 32
_HERE: Final = "+14155550199"
_THERE: Final = "+14155550101"


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """What came of it. what: whose call it is, in words. tool: the one by which such a call is placed."""

    what: str
    bot: Any
    call: Call | None
    pipeline: Pipeline | None
    error: BaseException | None = None
    tool: VoiceCall | None = None


async def rehearse(bot: Bot, app: App | None = None, *, what: str = "", tool: VoiceCall | None = None) -> Rehearsal:
    """Have the bot make the pipeline of a call: of one that comes in, or of one that the tool places.

    The call says so, for a bot that wants to know: `call.metadata["rehearsal"]` is true.
    """
    call = pipeline = None
    try:
        placed = tool is not None
        about = About("check", "check")
        call = Call(
            MediaTransport("twilio", PCMU_8K, leg=_SID),
            direction="outbound" if placed else "inbound",
            from_=_HERE if placed else _THERE,
            to=_THERE if placed else _HERE,
            metadata={"rehearsal": True, "call_sid": _SID, "parameters": {}}
            | ({"context": {}, "subject": {"type": about.type, "id": about.id}} if placed else {}),
            id="call_check",
            seed=0,
        )
        if placed:
            call.data |= {"context": {}, "subject": about}
        async with asyncio.timeout(BUILD_S):
            found: Any = bot(call)
            if inspect.isawaitable(found):
                found = await found
        if not isinstance(found, Pipeline):
            raise LinkError.of("link.not-a-pipeline", what=repr(found), call=call.id)
        own = {type(observer) for observer in found.observers}
        added = () if app is None else (each for each in app._observers() if type(each) not in own)
        pipeline = Pipeline(found.elements, observers=(*found.observers, *added))
        pipeline.check()
    except TimeoutError:
        return Rehearsal(what, bot, call, None, TimeoutError(f"it was not made in {BUILD_S} s"), tool)
    except (Exception, SystemExit) as error:
        return Rehearsal(what, bot, call, None, error, tool)
    return Rehearsal(what, bot, call, pipeline, None, tool)


async def rehearse_targets(pipeline: Pipeline, app: App | None) -> list[Rehearsal]:
    """The same for all that may talk in calls which the tools of a pipeline place, and for those that these place."""
    made: dict[tuple[str, int], Rehearsal] = {}
    pending = [pipeline]
    while pending:
        for _, tool in tools_in(pending.pop()):
            if not isinstance(tool, VoiceCall):
                continue
            for kind, bots in tool.targets.items():
                for name, bot in bots.items():
                    key = (f"{kind} {name}", id(bot))
                    if key not in made:
                        made[key] = await rehearse(bot, app, what=key[0], tool=tool)
                        pending += [each for each in (made[key].pipeline,) if each is not None]
    return list(made.values())
