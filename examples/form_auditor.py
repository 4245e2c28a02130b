"""An insurer's line: an agent takes the report of an accident, and an auditor beside it checks it and fills the form.

    voiceframe chat examples/form_auditor.py --script examples/form_auditor.txt
    voiceframe chat examples/form_auditor.py --llm openai/gpt-4.1-mini
    voiceframe check examples/form_auditor.py
    voiceframe run examples/form_auditor.py              # docs/twilio.md; VOICEFRAME_STT_PROVIDER=deepgram to hear
    voiceframe run examples/form_auditor.py:realtime     # a model that hears and speaks itself: OPENAI_API_KEY

Without a model both have rehearsed what they say. The agent only talks; what is in the form the auditor has put there,
by tools of its own that refuse what cannot be. It has the agent ask again, says when all is there, and ends a call in
which somebody needs help.
"""

import json
import re
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Literal

from voiceframe import Agent, Call, Pipeline
from voiceframe.flow import Date, Digits
from voiceframe.flow.slots import Context
from voiceframe.llm import LLMRequest, Message, Part, TextDelta
from voiceframe.processors import STT, TTS, Auditor, Realtime, SileroVAD, Turns
from voiceframe.rehearsed import Rehearsed, call_tool
from voiceframe.subject import subject_of
from voiceframe.talk import model_or
from voiceframe.tools import ToolContext, hang_up, tool

GREETING = "Claims department, hello. What is the number of your policy?"
QUESTIONS = {
    "policy": "What is the number of your policy?",
    "day": "On which day did it happen?",
    "place": "Where did it happen?",
    "damage": "What is damaged?",
}
TALK = """\
You take the report of a car accident on the telephone: the number of the policy (six digits), the day, the place, and
what is damaged. Ask for one at a time, in short sentences. A colleague listens, and fills the form; a note from the
Auditor says what is wrong with an answer: tell the caller in your own words, and ask again. Until a note says that all
is there, do not say that the report is complete. Then say that the claim has the number {claim}, say goodbye and hang
up. If you have asked for everything and no note comes, say that somebody will call back, and hang up."""
AUDIT = """\
Today is {{ now }}. Fill the form of claim {{ data.subject.id }}: as soon as the caller has said something that belongs
in it, call fill with it; again when they correct it. When fill refuses a value, call correction with the name of the
field, a colon and the reason. When nothing is missing, call complete with "all there". When somebody is hurt or in
danger now, call abort with "Please hang up and call 999 now. We will call you back." and nothing else."""


@dataclass(frozen=True)
class Policy:
    holder: str
    since: date


# In place of your own systems.
POLICIES = {"471100": Policy("Anna Smith", date(2024, 3, 1)), "471200": Policy("Peter Miller", date(2025, 12, 20))}
claims: dict[str, dict[str, str]] = {}


@tool()
async def fill(ctx: ToolContext, field: Literal["policy", "day", "place", "damage"], value: str) -> str:
    """Fill a field of the form, or put it right. It says what is missing then.

    value: of policy six digits, of day as 2026-12-03; of place and damage the caller's words.
    """
    subject = subject_of(ctx.call)
    assert subject is not None
    claim = claims[subject.id]
    if why := problem({**claim, field: value}, field, today_of(ctx.call)):
        ctx.refuse(why)
    claim[field] = value
    missing = [name for name in QUESTIONS if name not in claim]
    claim["status"] = "open" if missing else "complete"
    return f"filled; missing: {', '.join(missing) or 'nothing'}"


def today_of(call: Call) -> date:
    return datetime.fromtimestamp(call.clock.wall_ms() / 1000, UTC).date()


def problem(claim: dict[str, str], field: str, today: date) -> str:
    """Why a value cannot be."""
    policy = POLICIES.get(claim.get("policy", ""))
    if field == "policy" and policy is None:
        return f"There is no policy {' '.join(claim['policy'])}."
    if field == "day" and not re.fullmatch(r"\d{4}-\d\d-\d\d", claim["day"]):
        return "That is no day."
    if "day" in claim and date.fromisoformat(claim["day"]) > today:
        return "That day is still to come."
    if policy and "day" in claim and date.fromisoformat(claim["day"]) < policy.since:
        return f"The policy began only later, on {policy.since:%d %B %Y}."
    return ""


def bot(call: Call) -> Pipeline:
    """A recognizer, a model and a voice."""
    claim, auditor = begin(call)
    agent = Agent("claims", TALK.format(claim=claim), talking, tools=[hang_up], greeting=GREETING)
    if not call.has_audio:
        return Pipeline([call.transport.input(), agent, call.transport.output()], observers=[auditor])
    ears, mouth = [SileroVAD(), STT.by_name(), Turns()], TTS.by_name()
    return Pipeline([call.transport.input(), *ears, agent, mouth, call.transport.output()], observers=[auditor])


def realtime(call: Call) -> Pipeline:
    """A model that hears and speaks itself, with the same auditor."""
    claim, auditor = begin(call)
    model = Realtime.by_name("openai", TALK.format(claim=claim), tools=[hang_up], greeting=GREETING)
    return Pipeline([call.transport.input(), model, call.transport.output()], observers=[auditor])


def begin(call: Call) -> tuple[str, Auditor]:
    """A new claim, and who fills it."""
    claim = str(1001 + len(claims))
    claims[claim] = {"call": call.id, "status": "open"}
    agent = Agent("auditor", AUDIT, auditing, tools=[fill])
    return claim, Auditor(agent, subject=("claim", claim), deliver="now")


# -- what both say without a model


def asked(text: str) -> str | None:
    """The field that was asked for last."""
    found = [(text.rfind(question), field) for field, question in QUESTIONS.items() if question in text]
    return max(found)[1] if found else None


def talk(match: re.Match[str], request: LLMRequest) -> str | list[Part]:
    """What the agent says: what the auditor has told it, else the next question that was not answered."""
    note = re.search('<note from="Auditor">(.*)</note>', request.messages[-1].text)
    if note and "all there" in note[1]:
        number = re.search(r"claim has the number (\d+)", request.messages[0].text)
        words = f"Thank you, that is all. Your claim has the number {number[1] if number else ''}. Goodbye!"
        return [TextDelta(words), *call_tool("hang_up")]
    if note and (wrong := re.search(r"\b(policy|day|place|damage): (.*)", note[1])):
        return f"I am sorry. {wrong[2]} {QUESTIONS[wrong[1]]}"
    answered, field, waited = set(), None, False
    for message in request.messages[1:]:
        if message.role == "assistant":
            field, waited = asked(message.text) or field, "One moment" in message.text
        elif field and re.sub("<note.*</note>", "", message.text).strip():
            answered.add(field)
    for each, question in QUESTIONS.items():
        if each not in answered:
            return f"Thank you. {question}"
    if waited:
        return [TextDelta("Somebody will call you back about it. Goodbye!"), *call_tool("hang_up")]
    return "Thank you. One moment, please."


def look(match: re.Match[str], request: LLMRequest) -> str | list[Part]:
    """What the auditor does about all that was said since its last look."""
    messages, results = list(request.messages), list[Message]()
    while messages[-1].role == "tool":
        results.insert(0, messages.pop())
    if results:
        fields = {call.id: str(call.arguments["field"]) for call in messages[-1].tool_calls}
        for result in results:
            if result.failed:
                why = re.search("refuses: (.*) Tell the caller", result.text)
                return call_tool(
                    "correction", message=f"{fields[result.call_id or '']}: {why[1] if why else result.text}"
                )
        missing = results[-1].text.partition("missing: ")[2].split(", ")
        if missing == ["nothing"]:
            return call_tool("complete", message="all there")
        return call_tool("correction", message=f"{missing[0]}: I need that too.") if missing[-1] != "damage" else "OK"
    today = re.search(r"\d{4}-\d\d-\d\dT[\d:]+", messages[0].text)
    context = Context(datetime.fromisoformat(today[0])) if today else Context()
    looks = [m.text.partition("\n")[2].splitlines() for m in messages if m.role == "user"]
    entries = [json.loads(line) for lines in looks for line in lines]
    field, fills = None, list[Part]()
    for number, entry in enumerate(entries):
        field, said = asked(entry.get("agent", "")) or field, entry.get("caller", "")
        if re.search(r"\b(hurt|injured|bleeding|on fire)\b", said, re.IGNORECASE):
            return call_tool("abort", message="Please hang up and call 999 now. We will call you back.")
        value = understood(field, said, context)
        if value and number >= len(entries) - len(looks[-1]):
            fills += call_tool("fill", field=value[0], value=value[1])[:1]
    return fills or "OK"


def understood(field: str | None, said: str, context: Context) -> tuple[str, str] | None:
    """The field to which the words belong, and what is to be filled in."""
    past, near = Date("day", earliest_days=-300, latest_days=0), Date("day", earliest_days=-7, latest_days=7)
    if day := past.parse(said, context) or near.parse(said, context):
        return "day", str(day)
    number = Digits("policy", length=6).parse(said, context) or re.sub(r"\D", "", said)
    if number and field in ("policy", "day"):
        return "policy", number
    return (field, said) if field and field != "policy" and said not in ("", "(not understood)") else None


talking = model_or(Rehearsed(("", talk), otherwise=""))
auditing = model_or(Rehearsed(("", look), otherwise="OK"))
