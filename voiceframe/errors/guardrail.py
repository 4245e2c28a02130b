"""Errors of guardrails."""

from __future__ import annotations

from .base import Explanation, VoiceframeError
from .dialog import ToolError

__all__ = ["GuardrailError", "ToolBlocked"]


class GuardrailError(VoiceframeError):
    """A guardrail that is declared, placed or asked in a way that cannot work."""

    codes = {
        "guard.pattern": Explanation(
            "The pattern {pattern!r} cannot be used at position {at}: {problem}.",
            "Write it with what `Pattern` takes: characters, classes, groups, `|`, `*`, `+`, `?`, counts in braces, "
            "`\\b`, `^` and `$`.",
        ),
        "guard.words": Explanation(
            "The rule {rule} has no word to look for in {words!r}.",
            'Write words or phrases: `Words("lawsuit", "money back")`.',
        ),
        "guard.rule": Explanation(
            "{what} is not a rule of a guardrail.",
            "Pass rules such as `Words(...)`, `PersonalData(...)` or a function with `@rule(...)`, and presets with a "
            "star: `Guardrail(*SUPPORT_SAFE)`.",
        ),
        "guard.value": Explanation(
            "{where} has {name}={value!r}, which is not one of {known}.",
            "Did you mean `{name}={nearest!r}`?",
        ),
        "guard.number": Explanation(
            "{where} has {name}={value!r}; it must be {expected}.",
            "Set `{name}` to a value that is {expected}.",
        ),
        "guard.twice": Explanation(
            "The guardrail has two rules of the name {name!r}.",
            'Rename one of them: `name="..."`.',
        ),
        "guard.empty": Explanation(
            "The guardrail has no rules, so it would guard nothing.",
            "Give it some: `Guardrail(*SUPPORT_SAFE)`.",
        ),
        "guard.place": Explanation(
            "{name} stands before turn taking, where there are no turns to judge yet.",
            "Let `guard` stand behind `Turns()`, and `guard.transcripts()` before it.",
        ),
        "guard.order": Explanation(
            "{name} stands {where}, so what the bot says would not pass it.",
            "Let `guard.output()` stand behind the agent and before the voice.",
        ),
        "guard.policy": Explanation(
            "{where} is not a guardrail: {problem}.",
            "Name a preset, of which `voiceframe guard list` has the names, or rules of your own: `module:RULES`, "
            "`file.py:RULES`.",
        ),
        "guard.presidio": Explanation(
            "Presidio cannot be used: {problem}.",
            "Install it with `pip install presidio-analyzer` and a model of spaCy, or pass an analyzer of your own: "
            "`Presidio(analyzer)`.",
        ),
        "guard.labels": Explanation(
            "The rule {rule} was answered with {answer!r}, which is none of its topics.",
            "Ask a model that keeps to a list, or pass a function: `Topics([...], classify)`.",
        ),
    }


class ToolBlocked(ToolError):
    """What a guardrail says to the model in place of a tool."""

    codes = {
        "guard.tool-input": Explanation(
            "{tool} was not called: its arguments break the rule {rule}{say}.",
            "Tell the caller that this cannot be done, or call `{tool}` without what the rule forbids.",
        ),
        "guard.tool-output": Explanation(
            "The result of {tool} is withheld: it breaks the rule {rule}{say}.",
            "`{tool}` may have been done; do not call it again for its result alone.",
        ),
        "guard.handoff": Explanation(
            "There was no handoff to {tool}: what was to be passed on breaks the rule {rule}{say}.",
            "Hand over to `{tool}` without it, or go on with the caller yourself.",
        ),
    }
