"""Calls by way of Twilio: what it asks and how it is known, what it is answered, and what it is asked for."""

from .endpoint import Twilio
from .rest import TwilioRest
from .settings import TwilioSettings

__all__ = ["Twilio", "TwilioRest", "TwilioSettings"]
