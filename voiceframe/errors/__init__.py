"""The errors that Voiceframe raises: one small tree, every leaf with a code, a sentence and a way out.

Each class owns a *catalogue* of codes. A code has a message and a fix, both templates over the facts of the case;
the fix always names a setting, a command or a call in backticks. `docs/errors.md` is generated from these
catalogues (`voiceframe docs`), and `tests/test_errors.py` walks them.

    raise LinkError.of("link.no-source", first="Echo")

The classes lie here by what they are about; import them from `voiceframe.errors`.
"""

from .base import Explanation, VoiceframeError, catalogue
from .call import CallEnded, Reject, Unsupported
from .configuration import ConfigurationError, MissingExtra, ModelError
from .dialog import FlowError, ToolError
from .history import CheckError, EventError, StoreError
from .pipeline import HandlerError, LinkError, ProcessorError
from .provider import ProviderError
from .sound import AudioError, GrammarError, RecognitionError, RecordingError, SpeechError
from .telephony import CarrierError, SignatureError, TokenError, TwiMLError, WireError
from .testing import TestKitError, VirtualTimeError

__all__ = [
    "AudioError",
    "CallEnded",
    "CarrierError",
    "CheckError",
    "ConfigurationError",
    "EventError",
    "Explanation",
    "FlowError",
    "GrammarError",
    "HandlerError",
    "LinkError",
    "MissingExtra",
    "ModelError",
    "ProcessorError",
    "ProviderError",
    "RecognitionError",
    "RecordingError",
    "Reject",
    "SignatureError",
    "SpeechError",
    "StoreError",
    "TestKitError",
    "TokenError",
    "ToolError",
    "TwiMLError",
    "Unsupported",
    "VirtualTimeError",
    "VoiceframeError",
    "WireError",
    "catalogue",
]
