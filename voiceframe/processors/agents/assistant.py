"""What an `Assistant` does to the agent of a call before it stands in a pipeline: changes of a variant, and a note."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from typing import Any, Final

from ...errors import AssistantError
from .agent import Agent, _template, _zone
from .entries import HAND_OFF, Note
from .greeting import Opening
from .router import Router
from .servers import Servers

__all__ = ["change", "note"]

_REMEMBERED: Final = "what is remembered of the caller from earlier calls, as JSON: "


def change(agent: Agent, changes: Mapping[str, Any], *, of: str = "", variant: str = "") -> None:
    """Make an agent as a variant has it: see `Variant`.

    of: who is changed of a squad, by default the one who has the caller first, or of a router.

    Raises `AssistantError` (`experiment.member`) if there is no such agent.
    """
    who = _who(agent, of, changes, variant)
    if "instructions" in changes:
        who.instructions = changes["instructions"]
        who._template = _template(who.instructions, "The instructions")
    if "greeting" in changes:
        who.greeting = changes["greeting"] or None
        who._opening = Opening(who.greeting)
    if "voice" in changes:
        who.voice = changes["voice"]
    if "llm" in changes:
        who.llm = changes["llm"]
        who._model_settings = {}
    if "model" in changes:
        who._model_settings = {"model": changes["model"]}
    if "tools" in changes:
        given = changes["tools"]
        servers = [tool for tool in given if hasattr(tool, "acquire")]
        # How a specialist gives the caller to another is the squad's, and no tool of its own.
        who._tools.tools = {name: tool for name, tool in who._tools.tools.items() if name == HAND_OFF}
        who._tools.add(tool for tool in given if tool not in servers)
        who._servers = Servers(who, who._tools, servers)
    if "settings" in changes:
        who.settings = who.settings.replace(**changes["settings"])
        who._tools.zone = _zone(who.settings.zone)
        who._saying.conversation._result_chars = who.settings.result_chars


def note(agent: Agent, values: Mapping[str, Any]) -> None:
    """Tell an agent what is remembered of the caller: as information that nobody has said, before the call or in it.

    No event has the values: what is erased from a memory must not stay in a log.
    """
    if values:
        text = json.dumps(dict(values), ensure_ascii=False)
        agent._saying.conversation.note(Note("memory", f"{_REMEMBERED}{text}"))


def _who(agent: Agent, of: str, changes: Mapping[str, Any], variant: str) -> Agent:
    found = agent._named(of) if of else agent
    # A router says its own greeting, and nothing else: what is not its greeting is somebody's whom one has to name.
    if isinstance(found, Router) and not set(changes) <= {"greeting"}:
        found, of = None, of or "(none is named)"
    if found is None:
        names = [member.name for member in (agent, *agent._everybody()) if not isinstance(member, Router)]
        nearest = (*difflib.get_close_matches(of, names, n=1, cutoff=0.0), agent.name)[0]
        raise AssistantError.of(
            "experiment.member", variant=variant, member=of, agent=agent.name or "the agent", nearest=nearest
        )
    return found if isinstance(found, Router) else found._speaker
