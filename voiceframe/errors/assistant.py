"""Errors of assistants: of what is tried on callers, remembered of them, and done after their calls."""

from __future__ import annotations

from .base import Explanation, VoiceframeError

__all__ = ["AssistantError"]


class AssistantError(VoiceframeError):
    """An assistant that cannot be as it is declared, or memory that cannot be had."""

    codes = {
        "assistant.name": Explanation(
            "An assistant needs a name, for its events and its report; {what} has none.",
            'Give it one: `Assistant(agent, name="clinic")`.',
        ),
        "assistant.agent": Explanation(
            "The assistant {assistant} was given {what} where it needs an agent of its own for each call.",
            "Pass a function that makes one, `Assistant(receptionist)` with `def receptionist(call: Call) -> Agent`.",
        ),
        "assistant.twice": Explanation(
            "{what} {name!r} is there twice in the assistant {assistant}.",
            "Give each `Experiment(name, ...)`, `Goal(name, ...)` and `After(hook, name=...)` a name of its own.",
        ),
        "assistant.call": Explanation(
            "Call {call} has no {what} of the assistant {assistant}.",
            "Make its agent in the bot, `await assistant.agent(call)`, of an `Assistant(..., memory=...)` for memory.",
        ),
        "assistant.again": Explanation(
            "Call {call} has its agent of the assistant {assistant} already.",
            "Make it once for each call: `await assistant.agent(call)`.",
        ),
        "assistant.data": Explanation(
            "The call's data has {name!r} already, where {what} keeps its own.",
            "Use another name than `call.data[{name!r}]` for yours.",
        ),
        "assistant.hook": Explanation(
            "{what} cannot run after a call: {error}.",
            "Pass functions of the finished call, `after=[send_summary]`, or `After(send_summary, attempts=5)`.",
        ),
        "assistant.goal": Explanation(
            "The goal {name!r} says {error}.",
            'Say one of `Goal(name, outcome="booked")`, `Goal(name, tool="book")` and `Goal(name, measure=function)`.',
        ),
        "assistant.outcomes": Explanation(
            "Outcomes cannot be {what}: {error}.",
            'Name at least two, in words: `outcome_tool("booked", "no-slot")`.',
        ),
        "experiment.variants": Explanation(
            "The experiment {experiment!r} cannot be made: {error}.",
            'Give it at least two: `Experiment(name, [Variant("control"), Variant("warm", greeting="...")])`.',
        ),
        "experiment.change": Explanation(
            "The variant {variant!r} cannot be made: {error}.",
            'Say what it changes: `Variant("warm", greeting="...")`; `Variant("control")` changes nothing.',
        ),
        "experiment.overlap": Explanation(
            "The experiments {first!r} and {second!r} both change {what}, so neither could be told from the other.",
            "Make one `Experiment(...)` of them, with a variant for each combination.",
        ),
        "experiment.unknown": Explanation(
            "The experiment {experiment!r} has no variant {variant!r}.",
            "Use one of {known}: `Experiment({experiment!r}, ..., choose=...)`; None leaves it to chance.",
        ),
        "experiment.none": Explanation(
            "The assistant {assistant} has no experiment {experiment!r}.",
            "It has {known}: correct `await assistant.agent(call, variants=...)`.",
        ),
        "experiment.member": Explanation(
            "The variant {variant!r} changes the agent {member!r}, which {agent} does not have.",
            "Did you mean `of={nearest!r}`?",
        ),
        "memory.whose": Explanation(
            "It is not said whose memory it is: {error}.",
            "Say either `Memory(..., verified=function)`, which tells whether the caller's number is proven, or "
            "`Memory(..., key=function)`, which returns who it is, or None.",
        ),
        "memory.bound": Explanation(
            "The memory {namespace!r} cannot be made: {error}.",
            "Correct `Memory(..., {name}=...)`.",
        ),
        "memory.store": Explanation(
            "{what} cannot keep a memory.",
            'Pass the address of a store, `Memory("sqlite:///voiceframe.db", ...)`, or a `MemoryStore`.',
        ),
        "memory.key": Explanation(
            "The key of the memory {namespace!r} cannot be used: {error}.",
            "Return a text of 1 to {most} characters from `Memory(..., key=function)`, or None for nobody.",
        ),
        "memory.identity": Explanation(
            "It could not be found out whose memory {namespace!r} is: {error}.",
            "Correct the function in `Memory(..., key=function)` or `Memory(..., verified=function)`; it has "
            "{open_ms} ms (`open_ms`).",
        ),
        "memory.closed": Explanation(
            "Nobody's memory is open in call {call}: it is not known who is speaking.",
            "Verify the caller first; what `Memory(..., key=function)` returns decides.",
        ),
        "memory.name": Explanation(
            "{name!r} cannot be the name of something remembered.",
            'Use up to {most} letters, digits, "_", "-" and "." in `memory.set(name, value)`.',
        ),
        "memory.value": Explanation(
            "{name} cannot be remembered: {error}.",
            "Pass what JSON can hold, of at most {most} bytes: `memory.set(name, value)`.",
        ),
        "memory.full": Explanation(
            "The memory {namespace!r} holds no more of this person: {bound} at most.",
            "Delete something with `memory.delete(name)`, or raise `Memory(..., most_entries=..., most_bytes=...)`.",
        ),
        "memory.failed": Explanation(
            "The memory {namespace!r} could not be {done}: {error}.",
            "Look after the store that `Memory(...)` was given; calls go on without memory meanwhile.",
        ),
        "memory.erase": Explanation(
            "The memory {namespace!r} is erased, but its words may still be in the write-ahead log of {url}: a reader "
            "holds it.",
            "End what reads the database, then repeat `await memory.erase(...)`.",
        ),
        "report.assistant": Explanation(
            "There is no call of an assistant {name!r} in {where}.",
            "Did you mean `{nearest}`? `voiceframe assistant report --store URL` shows all.",
        ),
    }
