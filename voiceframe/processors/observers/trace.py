"""What happened in a call, beside what the engine itself writes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from ...events import DTMFReceived, MessageReceived, SettingsChanged, ToolCalled, ToolReturned
from ...frames import InputDTMFFrame, MessageFrame, ToolCallFrame, ToolResultFrame, UpdateSettingsFrame
from ...processor import Observer, observes

__all__ = ["TraceObserver"]


class TraceObserver(Observer):
    """Writes tools, keys, messages and changes of settings to the call's log.

    The call, its turns, replies, interruptions and the failures of processors are in the log in any case: the engine
    writes them.
    """

    def __init__(self) -> None:
        # A processor that changes a frame makes a new one, which is seen again: a tool call counts once.
        self._open: set[str] = set()

    @observes(ToolCallFrame)
    def on_tool_call(self, frame: ToolCallFrame) -> None:
        if frame.call_id not in self._open:
            self._open.add(frame.call_id)
            self.emit(ToolCalled(call_id=frame.call_id, name=frame.name, arguments=_as_json(frame.arguments)))

    @observes(ToolResultFrame)
    def on_tool_result(self, frame: ToolResultFrame) -> None:
        if frame.call_id in self._open:
            self._open.discard(frame.call_id)
            self.emit(
                ToolReturned(
                    call_id=frame.call_id,
                    failed=frame.error is not None,
                    error=frame.error,
                    result=_as_json(frame.result),
                )
            )

    @observes(InputDTMFFrame)
    def on_key(self, frame: InputDTMFFrame) -> None:
        self.emit(DTMFReceived(digit=frame.digit))

    @observes(MessageFrame)
    def on_message(self, frame: MessageFrame) -> None:
        self.emit(MessageReceived(data=_as_json(frame.data)))

    @observes(UpdateSettingsFrame)
    def on_settings(self, frame: UpdateSettingsFrame) -> None:
        self.emit(SettingsChanged(target=frame.target, names=tuple(frame.changes)))


def _as_json(value: Any) -> Any:
    """The value if it is made of what JSON has, else its `repr`: a tool may return anything."""
    if value is None or isinstance(value, (str, int, bool)) or (isinstance(value, float) and math.isfinite(value)):
        return value
    if isinstance(value, (list, tuple)):
        return [_as_json(item) for item in value]
    if isinstance(value, Mapping):
        return {str(key): _as_json(item) for key, item in value.items()}
    return repr(value)
