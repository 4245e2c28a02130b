"""The support line of an internet provider: triage, billing and technical specialists, and people for the rest.

    voiceframe chat examples/support_triage.py --script examples/support_triage.txt
    voiceframe chat examples/support_triage.py --llm openai/gpt-4.1-mini    # with a model, whose key is set
    voiceframe check examples/support_triage.py
    VOICEFRAME_LLM_MODEL=openai/gpt-4.1-mini voiceframe run examples/support_triage.py

Without a model it answers by rules. With sound it recognizes `PHRASES` on this machine, or whatever callers say with
`VOICEFRAME_STT_PROVIDER=deepgram` and its key. Customer 4711 has paid twice, 4712 has a bad line, 4713 an outage.
"""

import re
from dataclasses import dataclass, field

from voiceframe import Agent, Call, Pipeline, Router, Squad
from voiceframe.flow import Digits
from voiceframe.llm import LLMRequest, Part
from voiceframe.processors import STT, TTS, Expects, SileroVAD, Turns
from voiceframe.processors.agents import Destination, GrammarClassifier, HandoffDecision, HandoffRequest, Rule
from voiceframe.rehearsed import Rehearsed, call_tool
from voiceframe.talk import model_or
from voiceframe.tools import AskDigits, ToolContext, hang_up, tool

SALES_LINE = "+442079460200"


# -- in place of your own systems


@dataclass
class Customer:
    number: str
    area: str
    line: str = "good"
    invoices: dict[str, str] = field(default_factory=dict)  # what is the matter with each
    refunds: dict[str, str] = field(default_factory=dict)  # by invoice: the key of the tool's call


CUSTOMERS = {
    "4711": Customer("4711", "north", invoices={"1042": "30 pounds, paid twice", "1043": "30 pounds, open"}),
    "4712": Customer("4712", "north", line="noisy"),
    "4713": Customer("4713", "harbour"),
}
OUTAGES = {"harbour": "six this evening"}


def customer_of(ctx: ToolContext) -> Customer:
    known: Customer | None = ctx.call.data.get("customer")
    return known or ctx.refuse("Nobody has identified the caller yet")


# -- tools, each in the hands of one specialist


@tool(side_effects=False, on_interrupt="finish", timeout_ms=120_000)
async def identify(ctx: ToolContext) -> str:
    """Ask the caller for their customer number, by voice or keys, and look it up. It asks by itself."""
    number = await ctx.ask(AskDigits(Digits("number", length=4), "What is your customer number? It has four digits."))
    if number not in CUSTOMERS:
        ctx.refuse(f"There is no customer {number}: ask them to look at an invoice, and call this again")
    ctx.call.data["customer"] = CUSTOMERS[number]
    return f"customer {number}"


@tool(side_effects=False, timeout_ms=3_000)
async def invoices(ctx: ToolContext) -> dict[str, str]:
    """Look up the caller's invoices, and what is the matter with each."""
    return customer_of(ctx).invoices


@tool(confirm="Shall I pay back invoice {invoice}?", timeout_ms=5_000)
async def refund(ctx: ToolContext, invoice: str) -> str:
    """Pay an invoice back that was paid twice. The caller is asked by itself whether it is right.

    invoice: its number.
    """
    customer = customer_of(ctx)
    if "paid twice" not in customer.invoices.get(invoice, ""):
        ctx.refuse("Only what was paid twice can be paid back")
    if customer.refunds.setdefault(invoice, ctx.idempotency_key) != ctx.idempotency_key:
        ctx.refuse("It was paid back already")
    return f"invoice {invoice} is paid back within three days"


@tool(side_effects=False, timeout_ms=8_000, say_after_ms=1_000, say="I am testing your line.")
async def test_line(ctx: ToolContext) -> str:
    """Test the caller's line: good or noisy. It takes some seconds."""
    return customer_of(ctx).line


# -- who may hand the caller to whom


def policy(request: HandoffRequest) -> HandoffDecision:
    customer: Customer | None = request.call.data.get("customer")
    if re.search(r"lawyer|court|ombudsman", f"{request.reason} {request.summary}", re.IGNORECASE):
        return request.escalate("complaints", "mentions the law")
    if request.target in ("billing", "technical") and customer is None:
        return request.block("the caller must be identified first, with identify; then hand off again")
    if request.target == "technical" and customer is not None and customer.area in OUTAGES:
        until = OUTAGES[customer.area]
        return request.block("outage", say=f"There is an outage where you live. It will be over by {until}.")
    return request.allow(metadata={"customer": customer.number} if customer is not None else {})


# -- what they say without a model: the first rule that fits, and whose tool the specialist has


def hand_off(target: str, reason: str) -> list[Part]:
    return call_tool("hand_off", target=target, reason=reason, summary="")


def again(match: re.Match[str], request: LLMRequest) -> list[Part]:
    """They are identified now: what did they want?"""
    said = " ".join(message.text for message in request.messages if message.role == "user")
    slow = re.search("internet|slow", said)
    return hand_off("technical", "slow internet") if slow else hand_off("billing", "an invoice")


def pay_back(match: re.Match[str], request: LLMRequest) -> list[Part]:
    found = re.search(r'"(\d+)": "[^"]*twice', "".join(message.text for message in request.messages))
    return call_tool("refund", invoice=found[1]) if found else call_tool("invoices")


ANYTHING_ELSE = "Is there anything else?"
model = model_or(
    Rehearsed(
        (r"^hand_off failed: .*identified|^identify failed: .*no customer", call_tool("identify")),
        (r"^identify returned", again),
        (r'^invoices returned: .*"(\d+)": "[^"]*twice', "Invoice {1} was paid twice. Do you want that money back?"),
        (r"^invoices returned", f"Nothing is wrong with your invoices. {ANYTHING_ELSE}"),
        (r"^refund returned: (.*)", f"Done: {{1}}. {ANYTHING_ELSE}"),
        (r"^refund failed: .*said no", f"All right, I leave it as it is. {ANYTHING_ELSE}"),
        (r"^test_line returned: good", f"Your line is good. Please start your router again. {ANYTHING_ELSE}"),
        (r"^test_line returned: noisy", hand_off("front desk", "needs an engineer")),
        (r"^\w+ failed", hand_off("front desk", "a tool has failed")),
        (r"lawyer|court", hand_off("front desk", "mentions their lawyer")),
        (r"person|human", hand_off("front desk", "asks for a person")),
        (r"internet|slow", call_tool("test_line")),
        (r"internet|slow", hand_off("technical", "slow internet")),
        (r"money back|yes", pay_back),
        (r"charged|\bbill\b|invoice", call_tool("invoices")),
        (r"charged|\bbill\b|invoice|money", hand_off("billing", "an invoice")),
        (r"connection|contract", "A hundred megabits for 30 pounds a month. Would you like that?"),
        (r"bye|no thank", call_tool("hang_up", goodbye="Thank you for calling, goodbye!")),
        otherwise="I am sorry, I did not get that. What can I do for you?",
    )
)

# -- the agents

STYLE = "What you write is read aloud: one or two short sentences, no lists. Hang up when the caller has all they want."
TRIAGE = f"""You answer the support line of Northline, an internet provider. Find out what the caller wants, identify
them, and hand them off to who can help. Do not try to help yourself. {STYLE}"""
BILLING = f"You know about the invoices of Northline's customers. Look them up before you say anything. {STYLE}"
TECHNICAL = f"""You help customers of Northline whose internet does not work. Test the line first. If it is good, have
them restart their router; if it is noisy, hand them off to the front desk for an engineer. {STYLE}"""
SALES = f"You sell internet connections: 30 pounds a month, 100 megabits, no minimum term. {STYLE}"


def agent(call: Call) -> Router:
    billing = Agent("billing", BILLING, model, tools=[invoices, refund, hang_up], description="Invoices and refunds.")
    technical = Agent("technical", TECHNICAL, model, tools=[test_line, hang_up], description="Internet that is slow.")
    support = Squad(
        [Agent("triage", TRIAGE, model, tools=[identify, hang_up]), billing, technical],
        start="triage",
        name="support",
        description="Customers with a question or a problem.",
        routes={"billing": ["technical", "front desk"], "technical": ["billing", "front desk"]},
        destinations=[
            Destination("front desk", "When they ask for a person, or nobody else can help."),
            Destination("complaints", kind="queue", say="I am putting you through to my boss."),
        ],
        handoff=policy,
    )
    sales = Agent("sales", SALES, model, tools=[hang_up], description="People who want to buy.")
    return Router(
        [support, sales],
        rules=[Rule("sales", to=SALES_LINE), Rule("sales", metadata={"queue": "sales"})],  # decided while it rings
        classifier=GrammarClassifier({"sales": ["[a] new (contract | connection)", "(buy | order | sign up)"]}),
        fallback="support",
        greeting="Northline, hello. How can I help?",
    )


PHRASES = (
    "I (was charged twice | want my money back | would like to talk to a person | need a new connection)",
    "my (internet is [very] slow [too] | lawyer will call you)",
    "no thanks [goodbye]",
)


def bot(call: Call) -> Pipeline:
    if call.has_audio:
        parts = [SileroVAD(), STT.by_name(), Turns(), Expects(*PHRASES), agent(call), TTS.by_name()]
    else:
        parts = [Turns(), agent(call)]  # it makes turns of keys
    return Pipeline([call.transport.input(), *parts, call.transport.output()])
