"""A picture as graphviz's DOT: foundations below, VMs on top, an arrow from each thing to what it stands on. Pure.

Every name is written as text of a label, escaped; the nodes of the graph are numbered, so that nothing that stands in a
CIB can become a statement of the picture.
"""

from __future__ import annotations

import html
from collections import defaultdict
from collections.abc import Iterator

from hacluster.graph.bonds import Bond
from hacluster.graph.boxes import Box, Line, Picture

SHOWN = 6
"""How many names a box lists; of more it says how many there are."""
_FOLDERS = 3
_LOOKS = {
    "vm": ("#dbe9f9", "#2f6db5"),
    "storage": ("#e1f0db", "#4c8c2b"),
    "locks": ("#fbf0d0", "#b38a1d"),
    "fencing": ("#f6dede", "#b54a4a"),
    "other": ("#eeeeee", "#777777"),
}
_RED = "#c62828"
_KEY = (
    ("vm", "virtual machines"),
    ("storage", "storage"),
    ("locks", "locks"),
    ("fencing", "fencing"),
    ("other", "other resources"),
)


def draw(picture: Picture, title: str) -> str:
    """The DOT document."""
    return "\n".join(_lines(picture, title)) + "\n"


def _lines(picture: Picture, title: str) -> Iterator[str]:
    yield "digraph cluster {"
    yield f'  graph [fontname="Helvetica", fontsize=16, labelloc=t, label={_label(_text(title))}];'
    yield "  graph [rankdir=TB, nodesep=0.35, ranksep=0.55, bgcolor=white, pad=0.3];"
    yield '  node [shape=box, style="filled,rounded", fontname="Helvetica", fontsize=11, margin="0.15,0.08"];'
    yield '  edge [fontname="Helvetica", fontsize=9, arrowsize=0.7];'
    grouped: dict[str, list[int]] = defaultdict(list)
    for number, box in enumerate(picture.boxes):
        if box.group is not None:
            grouped[box.group].append(number)
        else:
            yield f"  {_node(number, box, picture)}"
    for index, (group, numbers) in enumerate(grouped.items()):
        yield f"  subgraph cluster_{index} {{"
        yield f'    label={_label(_text(f"group {group}"))}; fontsize=10; color="#999999"; style="rounded,dashed";'
        for number in numbers:
            yield f"    {_node(number, picture.boxes[number], picture)}"
        yield "  }"
    for line in picture.lines:
        yield f"  {_edge(line, picture)}"
    lower = {line.lower for line in picture.lines if not line.bond.apart}
    tops = [n for n, box in enumerate(picture.boxes) if box.look == "vm" and box.group is None and n not in lower]
    yield f"  {{ rank=min; {' '.join(f'n{number};' for number in tops)} }}"
    yield f"  key [shape=plain, style=solid, label={_label(_key(picture))}];"
    for number in _lowest(picture):
        yield f"  n{number} -> key [style=invis];"
    yield "}"


def _lowest(picture: Picture) -> list[int]:
    """The boxes that stand on nothing: the explanation is put below them."""
    upper = {line.upper for line in picture.lines if not line.bond.apart}
    return [number for number in range(len(picture.boxes)) if number not in upper]


def _node(number: int, box: Box, picture: Picture) -> str:
    fill, border = _LOOKS[box.look]
    if set(box.members) & picture.ring:
        border = _RED
    shown = [_text(name) for name in box.members[:SHOWN]]
    if len(box.members) == 1:
        rows = [f"<b>{shown[0]}</b>"]
        rows += [f'<font point-size="9" color="#444444">{_text(words)}</font>' for words in box.what.splitlines()]
    else:
        noun = box.what.replace("VM", "VMs", 1) if box.look == "vm" else " ".join(f"× {box.what}".split()[:2])
        rows = [f"<b>{len(box.members)} {_text(noun)}</b>"]
        more = f" and {len(box.members) - SHOWN} more" if len(box.members) > SHOWN else ""
        names = [", ".join(shown[i : i + 3]) for i in range(0, len(shown), 3)]
        names = [*(f"{row}," for row in names[:-1]), names[-1] + more]
        rows += [f'<font point-size="9" color="#444444">{row}</font>' for row in names]
    for folder in box.outside[:_FOLDERS]:
        rows.append(f'<font point-size="9" color="#444444"><i>disks in {_text(folder)}, not by Pacemaker</i></font>')
    label, width = _label("<br/>".join(rows)), 2 if picture.of in box.members else 1
    return f'n{number} [fillcolor="{fill}", color="{border}", penwidth={width}, label={label}];'


def _edge(line: Line, picture: Picture) -> str:
    bond = line.bond
    style, colour, words = _meaning(bond)
    ends = {picture.boxes[line.upper].members[0], picture.boxes[line.lower].members[0]}
    if ends <= picture.ring and bond.waits:
        colour, words = _RED, "waits in a ring"
    if line.each:
        words = f"{words}, each its own" if words else "each its own"
    if picture.of is not None and bond.why:
        words = "\n".join(filter(None, (words, *bond.why)))
    extra = ", dir=none, constraint=false" if bond.apart else ""
    text = f", label={_label('<br/>'.join(f' {_text(word)} ' for word in words.splitlines()))}" if words else ""
    return f'n{line.upper} -> n{line.lower} [style={style}, color="{colour}", fontcolor="{colour}"{text}{extra}];'


def _meaning(bond: Bond) -> tuple[str, str, str]:
    """How a bond is drawn: style, colour, and the words beside it. The commonest, both at once, needs none."""
    if bond.lacks:
        return "dashed", _RED, bond.lacks
    if bond.apart:
        return "dashed", "#8e24aa", "apart" if bond.apart == "must" else "rather apart"
    if (bond.waits, bond.beside) == ("must", "must"):
        return "solid", "#333333", ""
    if bond.waits and not bond.beside:
        return "dashed", "#333333", "only waits for it" if bond.waits == "must" else "waits if both start"
    if bond.beside and not bond.waits:
        return "dotted", "#333333", "only beside it" if bond.beside == "must" else "rather beside it"
    return "dashed", "#777777", "by advice only"


def _key(picture: Picture) -> str:
    """What colours and lines mean, as far as they are in the picture."""
    looks = {box.look for box in picture.boxes}
    cells = "".join(f'<td bgcolor="{_LOOKS[look][0]}">{words}</td>' for look, words in _KEY if look in looks)
    colours = f'<tr><td><table border="0" cellspacing="4"><tr>{cells}</tr></table></td></tr>' if cells else ""
    arrow = "an arrow: starts after what it points at, stops before it, and runs only where that runs"
    text = arrow if picture.boxes else "nothing is bound to anything"
    return (
        f'<font point-size="9" color="#555555"><table border="0" cellspacing="4">{colours}'
        f"<tr><td>{text}</td></tr></table></font>"
    )


def _label(markup: str) -> str:
    return f"<{markup}>"


def _text(words: str) -> str:
    """Text for a label: markup escaped, and nothing that XML or a terminal could stumble over."""
    return html.escape("".join(c if c.isprintable() or c == "\n" else "?" for c in words), quote=True)
