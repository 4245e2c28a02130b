"""Makes up flows, as the values of a YAML file: all of them work."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

NAMES = st.sampled_from(["a", "b", "c", "no", "on", "end node", "1", "null", "ä"])
TEXTS = st.text("abc {}:#'\"-?!éß\n\t&*%@`|>", min_size=1, max_size=20).filter(
    lambda t: t.strip() and "{" not in t and "}" not in t
)
WORDS = st.lists(st.sampled_from(["red", "green", "blue", "cold", "warm"]), min_size=1, max_size=3, unique=True)

SLOTS: list[dict[str, Any]] = [
    {"kind": "choice", "options": ["violet", "orange"]},
    {"kind": "number", "high": 50},
    {"kind": "date", "latest_days": 30, "closed": ["Sunday"]},
    {"kind": "yes_no"},
    {"kind": "digits", "length": 6, "shortest": 4},
    {"kind": "time", "earliest": "08:00"},
]


@st.composite
def flows(draw: st.DrawFn) -> dict[str, Any]:
    """The values of any flow that works."""
    names = draw(st.lists(NAMES, min_size=1, max_size=6, unique=True))
    to = st.sampled_from([*names, "last"])
    slots: dict[str, Any] = {}
    for name in draw(st.lists(st.sampled_from(["tint", "count", "when", "sure", "code"]), max_size=4, unique=True)):
        slots[name] = {**draw(st.sampled_from(SLOTS)), "prompt": draw(TEXTS)}
    nodes: dict[str, Any] = {}
    for name in names:
        kind = draw(st.sampled_from(["listen", "menu", "collect", "tool", "agent", "voicemail"]))
        node: dict[str, Any] = {"kind": kind, "prompt": draw(TEXTS)}
        if kind == "collect" and not slots:
            node["kind"] = kind = "listen"
        if kind in ("listen", "collect", "voicemail"):
            node["to"] = draw(st.sampled_from(["hub", "last"]))  # a circle without a way out would be refused
        if kind == "listen":
            node["save"] = "words"
        if kind == "collect":
            node["slots"] = draw(st.lists(st.sampled_from(sorted(slots)), min_size=1, unique=True))
        if kind == "menu":
            node["options"] = [{"name": f"o{n}", "say": [word], "to": draw(to)} for n, word in enumerate(draw(WORDS))]
            node["options"].append({"name": "out", "say": ["way out"], "to": "last"})
        if kind == "tool":
            # A circle of nodes that ask nothing would be refused.
            node |= {"tool": "t", "exits": {"good": "last", "Bad": "last"}, "failed": "last"}
        if kind == "agent":
            node |= {"agent": "clerk", "exits": {"done": draw(to)}, "failed": "last"}
        if kind in ("listen", "menu", "collect") and draw(st.booleans()):
            node |= {"attempts": draw(st.integers(1, 20)), "give_up": draw(to), "key_end": "*"}
        nodes[name] = node
    # Whatever is not led to is refused: a menu leads everywhere.
    ways = [*names, "last"]
    everywhere = [
        {"name": f"w{n}", "say": [f"way {word}"], "to": name}
        for n, (name, word) in enumerate(
            zip(ways, ("one", "two", "three", "four", "five", "six", "seven"), strict=False)
        )
    ]
    nodes = {"hub": {"kind": "menu", "prompt": "Where to?", "options": everywhere}, **nodes}
    nodes["last"] = {"kind": "hangup", "prompt": draw(TEXTS)}
    return {"start": "hub", "person": "desk", "slots": slots, "nodes": nodes}
