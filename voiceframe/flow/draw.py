"""A flow as a picture (SVG), and as text that others draw (Mermaid)."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from html import escape
from typing import Final

from .graph import Way, ways
from .layout import Box, Edge, lay_out
from .naming import kind_of
from .states import AnyState, Handoff, State

__all__ = ["mermaid", "svg"]

#: For each kind its colours: of the frame, and of the ground.
_COLOURS: Final = {
    "greet": ("#64748b", "#f8fafc"),
    "listen": ("#0284c7", "#f0f9ff"),
    "menu": ("#7c3aed", "#f5f3ff"),
    "collect": ("#2563eb", "#eff6ff"),
    "branch": ("#a16207", "#fefce8"),
    "tool": ("#0f766e", "#f0fdfa"),
    "agent": ("#c026d3", "#fdf4ff"),
    "voicemail": ("#be185d", "#fdf2f8"),
    "transfer": ("#c2410c", "#fff7ed"),
    "hangup": ("#15803d", "#f0fdf4"),
}
_CHARS: Final = 34  # of a line of a prompt
_LINES: Final = 3
_LABEL_CHARS: Final = 26
_WIDTH: Final = 232.0
_LINE: Final = 15.0
_MARGIN: Final = 24.0
_CHAR: Final = 6.3  # the width of one at 11 pixels, on average and rather more
_FONT: Final = "font-family=\"system-ui, 'Segoe UI', 'DejaVu Sans', sans-serif\""


def svg(states: Mapping[str, AnyState], start: str, *, title: str = "") -> str:
    """The picture, as a file of its own: no script, no style sheet, nothing to fetch."""
    texts = {name: _text(state) for name, state in states.items()}
    boxes = {name: Box(_WIDTH, 34.0 + _LINE * len(lines)) for name, lines in texts.items()}
    grouped = _grouped(states)
    edges = [Edge(source, to, _label_box(found)) for (source, to), found in grouped.items() if source != to]
    laid = lay_out(boxes, edges, start)
    top = 30.0 if title else 0.0
    loops = [(name, found) for (name, to), found in grouped.items() if name == to]
    right = _MARGIN + (90.0 if loops else 0.0)
    width, height = laid.width + _MARGIN + right, laid.height + 2 * _MARGIN + top
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}" '
        f'viewBox="0 0 {width:.0f} {height:.0f}" {_FONT} role="img">',
        f"<title>{escape(title or 'A flow')}</title>",
        '<defs><marker id="end" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" '
        'orient="auto-start-reverse"><path d="M0 0 L8 4 L0 8 z" fill="context-stroke"/></marker></defs>',
        f'<rect width="{width:.0f}" height="{height:.0f}" fill="#ffffff"/>',
    ]
    if title:
        parts.append(f'<text x="{_MARGIN}" y="28" font-size="15" font-weight="600">{escape(title)}</text>')
    parts.append(f'<g transform="translate({_MARGIN} {_MARGIN + top})">')
    parts += [_path(edge, grouped[edge.source, edge.to]) for edge in laid.edges]
    parts += [_loop(laid.boxes[name], found) for name, found in loops]
    parts += [_label(edge, grouped[edge.source, edge.to]) for edge in laid.edges if edge.label is not None]
    parts += [_node(states[name], box, texts[name], first=name == start) for name, box in laid.boxes.items()]
    return "\n".join([*parts, "</g>", "</svg>"]) + "\n"


def _grouped(states: Mapping[str, AnyState]) -> dict[tuple[str, str], list[Way]]:
    """The ways between two nodes, which are drawn as one."""
    found: dict[tuple[str, str], list[Way]] = {}
    for way in ways(states):
        found.setdefault((way.source, way.to), []).append(way)
    return found


def _text(state: AnyState) -> list[str]:
    """What stands in a node below its name."""
    text = " ".join(state.prompt.split())
    if isinstance(state, State) and not text and state.slots:
        text = "asks for " + ", ".join(slot.label for slot in state.slots)
    if isinstance(state, Handoff):
        text = f"→ {state.target}: {text}"
    lines = textwrap.wrap(text, _CHARS)
    if len(lines) > _LINES:
        lines = [*lines[: _LINES - 1], textwrap.shorten(" ".join(lines[_LINES - 1 :]), _CHARS, placeholder="…")]
    return lines


def _labels(found: list[Way]) -> list[str]:
    return [textwrap.shorten(way.label, _LABEL_CHARS, placeholder="…") for way in found if way.label]


def _label_box(found: list[Way]) -> Box | None:
    lines = _labels(found)
    if not lines:
        return None
    return Box(max(len(line) for line in lines) * _CHAR + 10.0, 13.0 * len(lines) + 4.0)


def _colour(found: list[Way]) -> str:
    return "#dc2626" if all(way.fails for way in found) else "#475569"


def _path(edge: Edge, found: list[Way]) -> str:
    dashes = ' stroke-dasharray="5 4"' if all(way.fails for way in found) else ""
    return (
        f'<path d="{_curve(edge.points)}" fill="none" stroke="{_colour(found)}" stroke-width="1.4"{dashes} '
        'marker-end="url(#end)"/>'
    )


def _curve(points: list[tuple[float, float]]) -> str:
    """A smooth way through the points, vertical at each."""
    x, y = points[0]
    made = [f"M{x:.1f} {y:.1f}"]
    for to_x, to_y in points[1:]:
        middle = (y + to_y) / 2
        made.append(f"C{x:.1f} {middle:.1f} {to_x:.1f} {middle:.1f} {to_x:.1f} {to_y:.1f}")
        x, y = to_x, to_y
    return " ".join(made)


def _loop(box: Box, found: list[Way]) -> str:
    x, y = box.x + box.width / 2, box.y
    label = escape(", ".join(_labels(found))[:18])
    colour = _colour(found)
    return (
        f'<path d="M{x:.1f} {y - 9:.1f} C{x + 34:.1f} {y - 22:.1f} {x + 34:.1f} {y + 22:.1f} {x:.1f} {y + 9:.1f}" '
        f'fill="none" stroke="{colour}" stroke-width="1.4" marker-end="url(#end)"/>'
        f'<text x="{x + 28:.1f}" y="{y + 4:.1f}" font-size="11" fill="{colour}">{label}</text>'
    )


def _label(edge: Edge, found: list[Way]) -> str:
    box = edge.label
    assert box is not None
    lines = _labels(found)
    top = box.y - 6.5 * (len(lines) - 1) + 4
    spans = "".join(
        f'<text x="{box.x:.1f}" y="{top + 13 * n:.1f}" font-size="11" text-anchor="middle" '
        f'fill="{_colour(found)}">{escape(line)}</text>'
        for n, line in enumerate(lines)
    )
    return (
        f'<rect x="{box.x - box.width / 2:.1f}" y="{box.y - box.height / 2:.1f}" width="{box.width:.1f}" '
        f'height="{box.height:.1f}" rx="4" fill="#ffffff" fill-opacity="0.92"/>{spans}'
    )


def _node(state: AnyState, box: Box, lines: list[str], *, first: bool) -> str:
    kind = kind_of(state)
    frame, ground = _COLOURS[kind]
    x, y = box.x - box.width / 2, box.y - box.height / 2
    parts = [
        f"<g><title>{escape(f'{state.name} ({kind}), {state.place}')}</title>",
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{box.width:.1f}" height="{box.height:.1f}" rx="9" fill="{ground}" '
        f'stroke="{frame}" stroke-width="{2.6 if first else 1.4}"/>',
        f'<text x="{x + 12:.1f}" y="{y + 21:.1f}" font-size="13" font-weight="600" fill="#0f172a">'
        f"{escape(textwrap.shorten(state.name, 22, placeholder='…'))}</text>",
        f'<text x="{x + box.width - 12:.1f}" y="{y + 21:.1f}" font-size="11" text-anchor="end" fill="{frame}">'
        f"{'start · ' if first else ''}{kind}</text>",
    ]
    parts += [
        f'<text x="{x + 12:.1f}" y="{y + 38 + _LINE * n:.1f}" font-size="11" fill="#334155">{escape(line)}</text>'
        for n, line in enumerate(lines)
    ]
    return "".join([*parts, "</g>"])


def mermaid(states: Mapping[str, AnyState], start: str) -> str:
    """The same as a Mermaid flowchart."""
    ids = {name: f"n{number}" for number, name in enumerate(states)}
    lines = ["flowchart TD"]
    for name, state in states.items():
        kind = kind_of(state)
        text = "<br/>".join([f"<b>{_quoted(name)}</b> · {kind}", *(_quoted(line) for line in _text(state))])
        left, right = {"branch": ("{{", "}}"), "hangup": ("([", "])"), "transfer": ("([", "])")}.get(kind, ("[", "]"))
        lines.append(f'    {ids[name]}{left}"{text}"{right}')
    for (source, to), found in _grouped(states).items():
        label = "<br/>".join(_quoted(line) for line in _labels(found))
        arrow = "-.->" if all(way.fails for way in found) else "-->"
        middle = f'|"{label}"|' if label else ""
        lines.append(f"    {ids[source]} {arrow}{middle} {ids[to]}")
    lines.append(f"    style {ids[start]} stroke-width:3px")
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    return escape(text).replace("{", "&#123;").replace("}", "&#125;")
