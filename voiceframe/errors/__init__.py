"""The errors that Voiceframe raises: one small tree, every leaf with a code, a sentence and a way out.

Each class owns a *catalogue* of codes. A code has a message and a fix, both templates over the facts of the case;
the fix always names a setting, a command or a call in backticks. `docs/errors.md` is generated from these
catalogues (`voiceframe docs`), and `tests/test_errors.py` walks them.

    raise LinkError.of("link.no-source", first="Echo")

The classes lie here by what they are about; import them from `voiceframe.errors`.
"""

from .assistant import AssistantError
from .auditor import AuditorError
from .base import Explanation, VoiceframeError, catalogue
from .call import CallEnded, Reject, Unsupported
from .configuration import ConfigurationError, MissingExtra, ModelError
from .dialling import DialError
from .dialog import FlowError, ToolError
from .guardrail import GuardrailError, ToolBlocked
from .history import CheckError, EventError, StoreError
from .manners import MannersError
from .pipeline import HandlerError, LinkError, ProcessorError
from .provider import ProviderError
from .sound import AudioError, GrammarError, RecognitionError, RecordingError, SpeechError
from .squad import HandoffError, RouterError, SquadError
from .telephony import CarrierError, SignatureError, TokenError, TwiMLError, WireError
from .testing import TestKitError, VirtualTimeError

__all__ = [
    "AssistantError",
    "AudioError",
    "AuditorError",
    "CallEnded",
    "CarrierError",
    "CheckError",
    "ConfigurationError",
    "DialError",
    "EventError",
    "Explanation",
    "FlowError",
    "GrammarError",
    "GuardrailError",
    "HandlerError",
    "HandoffError",
    "LinkError",
    "MannersError",
    "MissingExtra",
    "ModelError",
    "ProcessorError",
    "ProviderError",
    "RecognitionError",
    "RecordingError",
    "Reject",
    "RouterError",
    "SignatureError",
    "SpeechError",
    "SquadError",
    "StoreError",
    "TestKitError",
    "TokenError",
    "ToolBlocked",
    "ToolError",
    "TwiMLError",
    "Unsupported",
    "VirtualTimeError",
    "VoiceframeError",
    "WireError",
    "catalogue",
]
