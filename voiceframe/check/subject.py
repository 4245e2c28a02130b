"""What is checked: the bot or app, its own files, and its pipeline once that is made."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, Self

from ..app import App
from ..bots import load_app
from ..errors import ConfigurationError
from ..pipeline import Pipeline
from ..transports.twilio import Twilio
from .offline import offline
from .rehearsal import Rehearsal, rehearse, rehearse_targets
from .sources import is_theirs

__all__ = ["Subject"]


class Subject:
    """What is checked, as far as it could be had."""

    def __init__(self, where: str) -> None:
        self.where = where
        self.error: BaseException | None = None
        self.bot: Any = None
        self.app: App | None = None
        #: The files of the bot: its own, and those beside it that it imports.
        self.modules: list[ModuleType] = []
        #: What came of making the pipeline of a call that comes in, and of those that tools place.
        self.rehearsal: Rehearsal | None = None
        self.targets: list[Rehearsal] = []
        before = set(sys.modules)
        # A program that changes its environment does that on import, so what it was told is noted before.
        self.environment = dict(os.environ)
        with offline() as tried:
            try:
                found = load_app(where)
            except ConfigurationError as error:
                if error.code == "bot.no-bot" or not _exists(where):
                    raise
                self.error = error
            except (Exception, SystemExit) as error:
                self.error = error
            else:
                self.app = found if isinstance(found, App) else None
                self.bot = found.bot if isinstance(found, App) else found
        self.tried = tried
        self.modules = list(_own_modules(where, before, self.bot))

    @classmethod
    def of(cls, app: App) -> Self:
        """An app that is about to be started."""
        made = cls.__new__(cls)
        made.error, made.tried = None, []
        made.app, made.bot = app, app.bot
        made.environment = dict(os.environ)
        made.rehearsal, made.targets = None, []
        function = getattr(app.bot, "__func__", app.bot)
        main = sys.modules.get(getattr(function, "__module__", None) or "")
        made.modules = [main] if main is not None and is_theirs(str(getattr(main, "__file__", ""))) else []
        made.where = str(main.__file__) if made.modules and main is not None else "bot.py"
        return made

    async def rehearse(self) -> None:
        """Have the bot make the pipeline of a call that nobody makes; and those that may talk in calls that its tools
        place."""
        self.rehearsal = await rehearse(self.bot, self.app)
        if self.pipeline is not None:
            self.targets = await rehearse_targets(self.pipeline, self.app)

    @property
    def pipeline(self) -> Pipeline | None:
        """That of a call that comes in, if there is one."""
        return self.rehearsal.pipeline if self.rehearsal is not None else None

    @property
    def endpoints(self) -> tuple[Any, ...]:
        """Where calls would come from. A bot without an app is run with Twilio's numbers."""
        if self.app is not None:
            return self.app.endpoints
        if self.bot is None:
            return ()
        return (Twilio(),)


def _exists(where: str) -> bool:
    """Whether there is such a file or module, so that it is its content that is wrong."""
    path, _, name = where.rpartition(":")
    if not path or "/" in name or "\\" in name or name.endswith(".py"):
        path = where
    if path.endswith(".py"):
        return Path(path).is_file()
    try:
        return importlib.util.find_spec(path) is not None
    except (ImportError, ValueError):
        return False


def _own_modules(where: str, before: set[str], bot: Any) -> Iterator[ModuleType]:
    names = [name for name in sys.modules if name not in before or name.startswith("voiceframe_bot_")]
    path = where.rpartition(":")[0] or where
    main = sys.modules.get(f"voiceframe_bot_{Path(path if path.endswith('.py') else where).stem}")
    main = main or sys.modules.get(getattr(bot, "__module__", "")) or sys.modules.get(path)
    file = getattr(main, "__file__", None)
    if main is None or not file:
        return
    folder = Path(file).resolve().parent
    ours = Path(__file__).resolve().parent.parent
    yield main
    for name in names:
        module = sys.modules.get(name)
        source = getattr(module, "__file__", None)
        if module is None or module is main or not source or name.startswith("voiceframe_bot_"):
            continue
        path_of = Path(source).resolve()
        inside = folder in path_of.parents and "site-packages" not in path_of.parts and ours not in path_of.parents
        if inside and not any(part.startswith(".") for part in path_of.relative_to(folder).parts):
            yield module
