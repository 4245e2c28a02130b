"""Finding a bot by name: `module:bot`, `path/to/bot.py`, `path/to/bot.py:my_bot`."""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from .errors import ConfigurationError

__all__ = ["load_app", "load_bot"]


def load_bot(where: str) -> Callable[[Any], Any]:
    """The bot function that `where` names; it is called `bot` if no name is given.

    Raises `ConfigurationError` if there is none, with what went wrong.
    """
    path, _, name = where.rpartition(":")
    if not path or "/" in name or "\\" in name or name.endswith(".py"):
        path, name = where, "bot"
    module = _load_file(path) if path.endswith(".py") else _load_module(path)
    bot = getattr(module, name, None)
    if not callable(bot):
        raise ConfigurationError.of("bot.no-bot", path=path, name=name, nearest=_nearest(name, module))
    return bot  # type: ignore[no-any-return]


def _nearest(name: str, module: ModuleType) -> str:
    """The function of this module that is most like the name, if one is."""
    own = [
        other
        for other, found in vars(module).items()
        if callable(found) and getattr(found, "__module__", None) == module.__name__ and not other.startswith("_")
    ]
    return (*difflib.get_close_matches(name, own, n=1), "my_bot")[0]


def load_app(where: str) -> Any:
    """What `where` names: the `App` called `app` of that file or module, else its bot. Nothing is opened for it.

    Raises `ConfigurationError`, and whatever the file raises.
    """
    from .app import App  # it imports this module

    path, _, name = where.rpartition(":")
    if not path or "/" in name or "\\" in name or name.endswith(".py"):
        try:
            found: object = load_bot(f"{where}:app")
        except ConfigurationError as error:
            if error.code != "bot.no-bot":
                raise
        else:
            if isinstance(found, App):
                return found
    return load_bot(where)


def _load_module(path: str) -> ModuleType:
    if "" not in sys.path and "." not in sys.path:
        sys.path.insert(0, "")  # modules beside the user, as `python -m` finds them
    try:
        return importlib.import_module(path)
    except ImportError as error:
        raise ConfigurationError.of("bot.not-found", path=path, error=error) from error


def _load_file(path: str) -> ModuleType:
    file = Path(path)
    if not file.is_file():
        raise ConfigurationError.of("bot.not-found", path=path, error="there is no such file")
    spec = importlib.util.spec_from_file_location(f"voiceframe_bot_{file.stem}", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up there
    folder = str(file.resolve().parent)
    if folder not in sys.path:
        sys.path.insert(0, folder)  # a bot may import what lies beside it
    try:
        spec.loader.exec_module(module)
    except SyntaxError as error:
        raise ConfigurationError.of("bot.not-found", path=path, error=f"line {error.lineno}: {error.msg}") from error
    except ImportError as error:
        raise ConfigurationError.of("bot.not-found", path=path, error=error) from error
    return module
