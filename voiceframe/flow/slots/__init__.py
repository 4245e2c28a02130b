"""The types of what a caller can be asked for."""

from .base import Context as Context
from .base import Found as Found
from .base import Slot as Slot
from .choice import Choice as Choice
from .choice import Name as Name
from .choice import YesNo as YesNo
from .date import Date as Date
from .number import Digits as Digits
from .number import Number as Number
from .text import Text as Text
from .time import Time as Time

__all__ = ["Choice", "Context", "Date", "Digits", "Found", "Name", "Number", "Slot", "Text", "Time", "YesNo"]
