"""`voiceframe check`: whether a bot has all that it will need, before anybody calls it.

The bot is loaded and asked for the pipeline of a call that nobody makes. The pipeline is linked and never started, and
while the bot's own code runs no socket is connected: what it tries to reach is reported instead. What else that code
does, such as to open a file, it does. Nothing that is secret is shown.
"""

from .command import check_bot as check_bot
from .command import check_command as check_command

__all__ = ["check_bot", "check_command"]
