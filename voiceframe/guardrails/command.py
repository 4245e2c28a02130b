"""The commands: what a guardrail makes of a text, which presets there are, and the proof that rules fire."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import TextIO, cast

from ..errors import GuardrailError, VoiceframeError
from ..report import show
from .compliance import Notice
from .contracts import GuardCase, LoopRunner, check_guardrail
from .decisions import ACTIONS, STAGES, Decision, Stage
from .policy import Policy
from .presets import PRESETS
from .proofs import PROOFS
from .rules import Rule, one_of

__all__ = ["guard_list", "guard_prove", "guard_try", "load_policy"]


def guard_try(
    where: str,
    text: str,
    *,
    stage: str = "output",
    budget_ms: int | None = None,
    expect: str | None = None,
    as_json: bool = False,
    out: TextIO | None = None,
) -> int:
    """Print what the guardrail that `where` names makes of a text.

    Returns 0 if something of it may go on and 1 if it is blocked; with `expect`, 0 if that is the action. Raises
    `GuardrailError` (`guard.policy`, `guard.value`).
    """
    out = out or sys.stdout
    one_of(stage, tuple(map(str, STAGES)), "voiceframe guard try", "stage")
    if expect is not None:
        one_of(expect, tuple(map(str, ACTIONS)), "voiceframe guard try", "expect")
    policy = load_policy(where, budget_ms)
    decision = asyncio.run(policy.judge(cast("Stage", stage), text, LoopRunner()))
    if as_json:
        print(json.dumps({"policy": where, **decision.to_dict()}, indent=2, ensure_ascii=False), file=out)
    else:
        print(_as_text(decision), file=out)
    return int(decision.blocked if expect is None else decision.action != expect)


def _as_text(decision: Decision) -> str:
    lines = [f"{decision.action} ({decision.stage})"]
    for hit in decision.hits:
        what = f": {', '.join(hit.labels)}" if hit.labels and hit.outcome == "found" else ""
        late = "" if hit.outcome == "found" else f" ({hit.outcome}{': ' + hit.reason if hit.reason else ''})"
        lines.append(f"  {hit.rule.name}: {hit.action}{what}{late}")
    if decision.blocked:
        lines.append(f"  says: {decision.say}")
    elif decision.hits:
        lines.append(f"  goes on: {decision.text}")
    if decision.action == "escalate":
        lines.append(f"  hands over to {decision.target}: {decision.reason}")
    return "\n".join("".join(c if c.isprintable() else "?" for c in line) for line in lines)


def guard_list(where: str | None = None, *, as_json: bool = False, out: TextIO | None = None) -> int:
    """Print the presets with their rules, or the rules of the guardrail that `where` names."""
    out = out or sys.stdout
    policies = {where: load_policy(where)} if where else {name: Policy(rules) for name, rules in PRESETS.items()}
    if as_json:
        found = {
            name: [
                {"rule": rule.name, "action": rule.action, "stages": [s for s in STAGES if s in rule.stages]}
                for rule in policy.rules
            ]
            + [{"clock": notice.name, "within_ms": notice.within_ms} for notice in policy.notices]
            for name, policy in policies.items()
        }
        print(json.dumps(found, indent=2, ensure_ascii=False), file=out)
        return 0
    for name, policy in policies.items():
        print(name, file=out)
        for rule in policy.rules:
            print(f"  {rule.name}: {rule.action} at {', '.join(s for s in STAGES if s in rule.stages)}", file=out)
        for notice in policy.notices:
            print(f"  {notice.name}: to be heard within {notice.within_ms} ms", file=out)
    return 0


def guard_prove(where: str, cases: str | None = None, *, form: str = "text", out: TextIO | None = None) -> int:
    """Show the contract of a preset, or of a guardrail with the cases that `cases` names. Returns its exit code."""
    policy = load_policy(where)
    if cases is not None:
        found = _named(cases)
        given = list(found) if isinstance(found, Sequence) else []
        if not given or not all(isinstance(case, GuardCase) for case in given):
            raise GuardrailError.of("guard.policy", where=cases, problem="it is no list of `GuardCase`s")
    elif where in PROOFS:
        given = list(PROOFS[where])
    else:
        raise GuardrailError.of("guard.policy", where=where, problem="it is no preset, so name cases with --cases")
    return show(asyncio.run(check_guardrail(policy, given)), form, out)


def load_policy(where: str, budget_ms: int | None = None) -> Policy:
    """The policy that `where` names: a preset, `module:name` or `file.py:name`.

    Raises `GuardrailError` (`guard.policy`), and whatever a file of the user's raises.
    """
    found: object = PRESETS[where] if where in PRESETS else _named(where)
    own = getattr(found, "policy", found)
    if isinstance(own, Policy):
        return own if budget_ms is None else own.with_budget(budget_ms)
    if isinstance(own, Rule | Notice):
        own = (own,)
    if isinstance(own, Sequence) and not isinstance(own, str):
        return Policy(own) if budget_ms is None else Policy(own, budget_ms=budget_ms)
    raise GuardrailError.of("guard.policy", where=where, problem=f"it is {type(found).__name__}, and holds no rules")


def _named(where: str) -> object:
    path, colon, name = where.rpartition(":")
    if not colon or not path or not name.isidentifier():
        known = ", ".join(PRESETS)
        raise GuardrailError.of("guard.policy", where=where, problem=f"there are {known}, module:name and file.py:name")
    module = _module(path, where)
    if not hasattr(module, name):
        raise GuardrailError.of("guard.policy", where=where, problem=f"{path} defines no {name}")
    found: object = getattr(module, name)
    return found


def _module(path: str, where: str) -> ModuleType:
    try:
        if not path.endswith(".py"):
            if "" not in sys.path and "." not in sys.path:
                sys.path.insert(0, "")  # modules beside the user, as `python -m` finds them
            return importlib.import_module(path)
        file = Path(path)
        if not file.is_file():
            raise GuardrailError.of("guard.policy", where=where, problem="there is no such file")
        spec = importlib.util.spec_from_file_location(f"voiceframe_guard_{file.stem}", file)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module
        folder = str(file.resolve().parent)
        if folder not in sys.path:
            sys.path.insert(0, folder)
        spec.loader.exec_module(module)
    except VoiceframeError:
        raise
    except (ImportError, SyntaxError) as error:
        raise GuardrailError.of("guard.policy", where=where, problem=str(error)) from error
    return module
