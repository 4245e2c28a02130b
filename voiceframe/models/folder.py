"""Where models are kept that were fetched."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from ..settings import Settings, setting

__all__ = ["ModelsSettings", "models_dir"]


class ModelsSettings(Settings, prefix="MODELS"):
    """Where models are kept that `voiceframe models fetch` has fetched."""

    dir: str = setting(default="", doc="folder of fetched models; empty for `voiceframe/models` in the user's own data")


def models_dir() -> Path:
    """The folder of fetched models: `VOICEFRAME_MODELS_DIR`, else in the data of the user as the platform has it.

    That is `$XDG_DATA_HOME` or `~/.local/share` (XDG Base Directory Specification 0.8), `~/Library/Application Support`
    on macOS, `%LOCALAPPDATA%` on Windows.
    """
    set_dir = ModelsSettings.load().dir
    if set_dir:
        return Path(set_dir).expanduser()
    home = Path.home()
    if sys.platform == "darwin":
        data = home / "Library" / "Application Support"
    elif sys.platform == "win32":
        data = Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local")
    else:
        named = Path(os.environ.get("XDG_DATA_HOME") or "")
        data = named if named.is_absolute() else home / ".local" / "share"  # the specification ignores relative ones
    return data / "voiceframe" / "models"
