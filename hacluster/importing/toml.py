"""Tables as the text of a cluster.toml, with a comment where an admin has to look. Pure.

What tomllib reads from the text is exactly what was written: a property test holds this.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_NAMED = ("nodes", "fence_devices", "storage", "networks", "vms", "groups", "affinity", "anti_affinity", "start_order")
_TITLES = {
    "cluster": "The cluster",
    "nodes": "Hosts",
    "fence_devices": "Fencing",
    "libvirt": "How libvirt is set up on every host",
    "storage": "Shared storage",
    "networks": "Bridges that exist on every host",
    "vms": "Virtual machines",
    "placement": "How VMs are spread over the hosts",
    "groups": "Groups of VMs, for the rules below",
    "affinity": "VMs that run on one host",
    "anti_affinity": "VMs that run on different hosts",
    "start_order": "What starts after what",
}


def write(tables: Mapping[str, Any], head: Sequence[str] = (), notes: Mapping[str, Sequence[str]] | None = None) -> str:
    """The text. `head` are lines of comment on top; `notes` are lines for a table by its path, such as `nodes.n1`."""
    said = notes or {}
    lines = [_comment(line) for line in head]
    for part, title in _TITLES.items():
        if part not in tables:
            continue
        lines += ["", f"# --- {title}", *(_comment(line) for line in said.get(part, ()))]
        if part in _NAMED:
            if not tables[part]:
                lines += [f"[{part}]", ""]
            for name, table in tables[part].items():
                path = f"{part}.{_key(name)}"
                lines += [*(_comment(line) for line in said.get(f"{part}.{name}", ())), *_table(path, table), ""]
            lines.pop()
        else:
            lines += _table(part, tables[part])
    return "\n".join(lines).lstrip("\n") + "\n"


def _comment(line: str) -> str:
    shown = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in line)
    return f"# {shown}".rstrip()


def _table(path: str, table: Mapping[str, Any]) -> Iterator[str]:
    """A table; cluster.properties gets one of its own, other tables in it stand on one line."""
    yield f"[{path}]"
    apart = {key: value for key, value in table.items() if path == "cluster" and isinstance(value, dict)}
    for key, value in table.items():
        if key not in apart:
            yield f"{_key(key)} = {_value(value)}"
    for key, value in apart.items():
        yield ""
        yield from _table(f"{path}.{_key(key)}", value)


def _value(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, dict):
        inside = ", ".join(f"{_key(key)} = {_value(each)}" for key, each in value.items())
        return f"{{ {inside} }}" if inside else "{}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(_value(each) for each in value)}]"
    return _string(str(value))


def _key(key: str) -> str:
    return key if _BARE.fullmatch(key) else _string(key)


def _string(text: str) -> str:
    """A basic string: JSON's escapes are TOML's. What could disturb a terminal is escaped, too."""
    quoted = json.dumps(text, ensure_ascii=False)
    return "".join(c if c.isprintable() else f"\\U{ord(c):08X}" for c in quoted)
