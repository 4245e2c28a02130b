"""The voice, the language and the pause after keys of each node, set while the dialog is in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..frames import UpdateSettingsFrame
from ..processor import Processor
from .node import Asking, Node
from .states import AgentNode

if TYPE_CHECKING:
    from ..processors.stt import STT
    from ..processors.tts import TTS

__all__ = ["Voices"]


class Voices:
    """Sets what a node asks for, and sets it back for the next one. Only what differs is set."""

    def __init__(self, flow: Processor) -> None:
        self._flow = flow
        self._set: dict[tuple[str, str], Any] = {}  # by processor and setting: what it was before
        self._tts: TTS | None = None
        self._stt: STT | None = None
        self._turns: Processor | None = None
        self._found = False
        self._unsure = False
        self._own_voice = ""

    def _find(self) -> None:
        """The processors that have these settings: the voice behind the flow, the ears before it."""
        from ..processors.stt import STT
        from ..processors.tts import TTS

        self._found = True
        nodes = [node.proc for node in self._flow.call.engine.nodes]
        place = nodes.index(self._flow)
        self._tts = next((proc for proc in nodes[place:] if isinstance(proc, TTS)), None)
        self._stt = next((proc for proc in nodes[:place] if isinstance(proc, STT)), None)
        self._turns = next((proc for proc in nodes[:place] if proc.decides_interruptions), None)

    def unsure(self) -> None:
        """Others have spoken with the voice, and may have changed it."""
        self._unsure = self._found

    def speak(self, node: Node) -> UpdateSettingsFrame | None:
        """The next words are this node's: what has to be set for them."""
        if not self._found:
            if node.voice is None and node.language is None and not isinstance(node, AgentNode):
                return None
            self._find()
            self._own_voice = self._tts.voice if self._tts is not None else ""
        tts = self._tts
        if tts is None:
            return None
        wanted = {"voice": node.voice, "language": node.language}
        changes = self._changes(tts, wanted, {"voice": tts.voice, "language": tts.language})
        if self._unsure and not isinstance(node, AgentNode):
            self._unsure = False
            changes["voice"] = node.voice or self._own_voice
        return UpdateSettingsFrame(tts.name, changes) if changes else None

    def listen(self, node: Node) -> None:
        """What the caller says next is said to this node."""
        pause_ms = node.key_pause_ms if isinstance(node, Asking) else None
        if not self._found:
            if node.language is None and pause_ms is None:
                return
            self._find()
        if self._stt is not None:
            self._tell(self._stt, {"language": node.language}, {"language": self._stt.language})
        settings: Any = getattr(self._turns, "settings", None)
        if self._turns is not None and hasattr(settings, "keys_wait_ms"):
            self._tell(self._turns, {"keys_wait_ms": pause_ms}, {"keys_wait_ms": settings.keys_wait_ms})

    def _tell(self, proc: Processor, wanted: dict[str, Any], now: dict[str, Any]) -> None:
        changes = self._changes(proc, wanted, now)
        if changes:  # it stands before the flow, where only what comes from the source gets
            self._flow.call.send(UpdateSettingsFrame(proc.name, changes))

    def _changes(self, proc: Processor, wanted: dict[str, Any], now: dict[str, Any]) -> dict[str, Any]:
        """What has to be set for that. A wish of None is for what it was before the flow has set it."""
        changes: dict[str, Any] = {}
        for name, value in wanted.items():
            key = (proc.name, name)
            if value is None:
                if key in self._set:
                    changes[name], _ = self._set.pop(key)
            elif key not in self._set:
                if value != now[name]:
                    self._set[key] = (now[name], value)
                    changes[name] = value
            elif self._set[key][1] != value:
                self._set[key] = (self._set[key][0], value)
                changes[name] = value
        return changes
