"""A router: decides who answers a call, and stands where an agent stands.

ringing ──rules that need no words──▶ decided
   │ none
   ▼
first turn ──rules, classifier──▶ decided ──▶ the target answers the same turn, and all others
               └ nothing fits, too late, broken: the fallback answers
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias

from ...errors import RouterError
from ...events import RouterDecided, SpecialistChanged
from ...frames import StartFrame, UpdateSettingsFrame, UserTurnFrame
from ...processor import handles
from .agent import Agent
from .asking import Speculation
from .call_voice import CallVoice
from .classifiers import Classifier, Classify, Routed, RouteRequest
from .fitting import check_voice, tts_behind
from .greeting import Greeting
from .questions import Questions
from .rules import Rule
from .settings import RouterSettings
from .squad import OWN_FRAMES, Squad, checked, nearest

if TYPE_CHECKING:
    from ...node import Node
    from ...pipeline import Pipeline

__all__ = ["Router"]

_By: TypeAlias = Literal["rule", "model", "grammar", "function", "fallback"]
_Cause: TypeAlias = Literal["", "no-match", "timeout", "error", "unknown-target"]


class _Guess(NamedTuple):
    """A classification that has begun."""

    said: tuple[str, ...]
    task: asyncio.Task[Any]
    began_s: float


class _Verdict(NamedTuple):
    """What was found out about a turn."""

    target: str
    by: _By
    reason: str = ""
    cause: _Cause = ""


class Router(Agent):
    """Gives a call to one of several agents or squads, which has it from then on.

        Router([sales, support_squad], fallback="support", classifier=ModelClassifier(small_llm),
               rules=[Rule("sales", to="+4930111111")], greeting="Hello! How can I help?")

    targets: agents and squads, each with a name of its own and a `description`.
    fallback: the name of the target that answers when nothing else fits, and when the classifier fails or is too slow.
    rules: asked in order, before the classifier: see `Rule`. Those that need no words decide while it rings.
    classifier: a `ModelClassifier`, a `GrammarClassifier`, or a function of a `RouteRequest` that returns the name of a
        target or None. One that is no coroutine must not block.
    greeting: said where a rule has not decided before; else, and by default, that of the target.
    call_voice: how the call sounds, whoever answers. target_voices: the same for a target, once it is decided.
    settings: by default from the environment and the settings file; budget_ms and turns go before them.

    Raises `RouterError` and `SquadError` for whatever cannot work.
    """

    def __init__(
        self,
        targets: Iterable[Agent],
        *,
        fallback: str,
        classifier: Classifier | Classify | None = None,
        rules: Iterable[Rule] = (),
        name: str = "router",
        greeting: Greeting | None = None,
        call_voice: CallVoice | None = None,
        target_voices: Mapping[str, CallVoice] | None = None,
        budget_ms: int | None = None,
        turns: int | None = None,
        settings: RouterSettings | None = None,
    ) -> None:
        found = checked(self, "Router", name, targets)
        self.rules = tuple(rules)
        self.classifier = classifier
        if fallback not in found:
            raise RouterError.of(
                "router.fallback", router=name, name=fallback, known=", ".join(found), nearest=nearest(fallback, found)
            )
        if classifier is None and not self.rules:
            raise RouterError.of("router.nothing", router=name)
        own = classifier.names() if isinstance(classifier, Classifier) else ()
        named = [("A rule", rule.target) for rule in self.rules]
        named += [("The classifier", target) for target in own]
        named += [("A voice", target) for target in target_voices or {}]
        for what, target in named:
            if target not in found:
                near = nearest(target, found)
                raise RouterError.of(
                    "router.target", what=what, router=name, name=target, known=", ".join(found), nearest=near
                )
        if isinstance(classifier, Classifier) and classifier.reads_descriptions:
            for target, agent in found.items():
                if not agent.description.strip():
                    raise RouterError.of("router.description", router=name, name=target)
        super().__init__(name, greeting=greeting, settings=found[fallback]._speaker.settings)
        bounds = {"budget_ms": budget_ms, "turns": turns}
        given = {setting: value for setting, value in bounds.items() if value is not None}
        self.limits = (settings or RouterSettings.load()).replace(**given)
        self.targets = found
        self.fallback = fallback
        self._call_voice = call_voice or CallVoice()
        self._target_voices = dict(target_voices or {})
        #: The target that has the call; None until it is decided.
        self.target: Agent | None = None
        self._shown: Agent | None = None  # the one of whom the log says that they have the caller
        self._early: _Verdict | None = None  # what a rule has decided before anybody spoke
        self._said: list[str] = []
        self._guess: _Guess | None = None
        self._tools.questions = Questions(self, lambda: self._speaker._tools.zone)
        self._tools.questions.on_question = self._question_came
        for agent in found.values():
            agent._join(self)

    # -- answering

    async def reply(self, turn: UserTurnFrame) -> AsyncIterator[str]:
        target = self.target
        if target is None:
            target = await self._route(turn)
        async with contextlib.aclosing(target.reply(turn)) as texts:  # type: ignore[type-var]
            async for text in texts:
                yield text

    async def remark(self, note: str) -> AsyncIterator[str]:
        target = self.target or self.targets[self.fallback]
        self._show(target, None)
        async with contextlib.aclosing(target.remark(note)) as texts:  # type: ignore[type-var]
            async for text in texts:
                yield text

    # -- deciding

    async def _route(self, turn: UserTurnFrame) -> Agent:
        """Who answers this turn."""
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        if turn.text.strip():
            self._said.append(turn.text.strip())
        verdict = self._by_words() or await self._classified()
        last = len(self._said) >= self.limits.turns
        self._decided(verdict, turn.turn, round((loop.time() - began_s) * 1000), final=bool(not verdict.cause or last))
        return self.targets[verdict.target]

    def _rule(self, *, words: bool) -> _Verdict | None:
        said = " ".join(self._said)
        for rule in self.rules:
            try:
                if rule.needs_words == words and rule.holds(self.call, said):
                    return _Verdict(rule.target, "rule", rule.reason)
            except Exception as error:  # a rule that cannot be asked does not hold
                self.fail(error)
        return None

    def _by_words(self) -> _Verdict | None:
        return self._rule(words=True)

    async def _classified(self) -> _Verdict:
        """What the classifier says, in time; else the fallback."""
        if self.classifier is None or not self._said:
            return _Verdict(self.fallback, "fallback", cause="no-match")
        guess, self._guess = self._guess, None
        if guess is None or guess.said != tuple(self._said):
            if guess is not None:
                guess.task.cancel()
            guess = self._begin_guess(tuple(self._said))
        loop = asyncio.get_running_loop()
        try:
            # One that does not heed its cancellation is not waited for either.
            left_s = guess.began_s + self.limits.budget_ms / 1000 - loop.time()
            done, _ = await asyncio.wait({guess.task}, timeout=max(0.0, left_s))
        finally:
            guess.task.cancel()
        if not done:
            return _Verdict(self.fallback, "fallback", cause="timeout")
        found = guess.task.result()
        if isinstance(found, Exception):
            self.fail(found)
            return _Verdict(self.fallback, "fallback", cause="error")
        if isinstance(found, Routed) and not found.target:
            return _Verdict(self.fallback, "fallback", found.reason, "no-match")
        if not isinstance(found, Routed) or found.target not in self.targets:
            what = repr(getattr(found, "target", found))
            self.fail(RouterError.of("router.answer", router=self.name, what=what, known=", ".join(self.targets)))
            return _Verdict(self.fallback, "fallback", cause="unknown-target")
        return _Verdict(found.target, self._kind, found.reason)

    @property
    def _kind(self) -> _By:
        return self.classifier.kind if isinstance(self.classifier, Classifier) else "function"

    def _begin_guess(self, said: tuple[str, ...]) -> _Guess:
        targets = {name: agent.description for name, agent in self.targets.items()}
        request = RouteRequest(said[-1], said, targets, self.call)
        task = self.spawn(self._asked_who(request), name=f"{self.name} classifies", lasting=True)
        return _Guess(said, task, asyncio.get_running_loop().time())

    async def _asked_who(self, request: RouteRequest) -> Any:
        classifier = self.classifier
        assert classifier is not None
        try:
            if isinstance(classifier, Classifier):
                return await classifier.classify(request, self)
            answer = classifier(request)
            found = await answer if inspect.isawaitable(answer) else answer
            if found is None or isinstance(found, str):
                return Routed(found or "")
            return found
        except Exception as error:
            return error

    def _decided(self, verdict: _Verdict, turn: int | None, elapsed_ms: int, *, final: bool) -> None:
        self.call.log.write(
            RouterDecided(
                router=self.name,
                target=verdict.target,
                by=verdict.by,
                cause=verdict.cause,
                final=final,
                elapsed_ms=elapsed_ms,
                reason=verdict.reason,
            ),
            turn=turn,
        )
        target = self.targets[verdict.target]
        self._show(target, turn)
        if not final:
            return
        self.target = target
        self._sound(self._target_voices.get(verdict.target), [target])
        self._voices.take_over()

    def _show(self, target: Agent, turn: int | None) -> None:
        """This one answers now: for good, or until it is decided."""
        previous = self._shown._speaker.name if self._shown is not None else ""
        self._shown = target
        specialist = target._speaker.name
        if specialist != previous:
            squad = target.name if isinstance(target, Squad) else self.name
            changed = SpecialistChanged(squad=squad, specialist=specialist, previous=previous, cause="route")
            self.call.log.write(changed, turn=turn)

    # -- how the call sounds

    def _sound(self, voice: CallVoice | None, targets: Iterable[Agent]) -> None:
        """Have the processors of the call set so."""
        if voice is None:
            return
        before = True
        processors = [node.proc for node in self.call.engine.nodes]
        changes = voice.changes(processors, self.name)
        for node in self.call.engine.nodes:
            before = before and node is not self._node
            wanted = changes.get(node.proc, {})
            if "voice" in wanted:
                self._voices.default(wanted.pop("voice"))
            if wanted and before:  # a frame for it has to come from the source
                self.call.send(UpdateSettingsFrame(node.name, wanted))
            elif wanted:
                self.push(UpdateSettingsFrame(node.name, wanted))
        if voice.model:
            for target in targets:
                for agent in target._everybody():
                    if agent._thinks:
                        agent._change({"model": voice.model})

    # -- one that stands in the pipeline, and those that speak there

    @property
    def _speaker(self) -> Agent:
        return (self.target or self.targets[self.fallback])._speaker

    def _everybody(self) -> list[Agent]:
        return [agent for target in self.targets.values() for agent in target._everybody()]

    def _adopt(self, node: Node | None) -> None:
        super()._adopt(node)
        for target in self.targets.values():
            target._adopt(node)

    def _named(self, name: str) -> Agent | None:
        if name == self.name:
            return self
        return next((found for target in self.targets.values() if (found := target._named(name))), None)

    def _change(self, settings: Mapping[str, Any]) -> None:
        """Those of `RouterSettings`."""
        self.limits = self.limits.replace(**settings)

    def _speculate(self, text: str) -> Speculation | None:
        """While it is not decided who answers, that is what can be found out early."""
        if self.target is not None:
            return self.target._speculate(text)
        said = (*self._said, text)
        if self.classifier is not None and text and self._guess is None:
            self._guess = self._begin_guess(said)
        return None

    # -- the life of the call

    def check_pipeline(self, pipeline: Pipeline) -> None:
        super().check_pipeline(pipeline)
        for name, voice in (("", self._call_voice), *self._target_voices.items()):
            voice.changes(pipeline.processors(), self.name)
            who = f"The target {name!r} of {self.name!r}" if name else f"The router {self.name!r}"
            check_voice(tts_behind(self, pipeline), voice.voice, who)

    async def setup(self) -> None:
        self._adopt(self._node)
        self._early = self._rule(words=False)
        if self._early is not None:
            self.target = self.targets[self._early.target]
        self._voices.begin()
        self._begin()
        speaker = self._speaker
        own = self.greeting is not None and (self._early is None or speaker.greeting is None)
        await self._prepare_greeting(speaker, self._opening if own else None)

    def _begin(self) -> None:
        for target in self.targets.values():
            target._begin()

    async def cleanup(self) -> None:
        for target in self.targets.values():
            await target.cleanup()

    @handles(StartFrame)
    def on_start(self, frame: StartFrame) -> None:
        self._sound(self._call_voice, self.targets.values())
        if self._early is not None:
            self._decided(self._early, None, 0, final=True)
        super().on_start(frame)


OWN_FRAMES.add(Router)
