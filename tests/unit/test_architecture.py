"""The arrows of import, and the size of modules: what DESIGN calls the shape of the house, held by a test."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CODE = sorted([*(ROOT / "hacluster").rglob("*.py"), *(ROOT / "resource_agents").rglob("*.py")])

# Each part may import the parts named here (and itself), and nothing else of the project.
ARROWS: dict[str, set[str] | None] = {
    "problems": set(),
    "assets": set(),
    "guard": set(),
    "resource_agents": {"guard"},
    "model": set(),
    "stacks": set(),
    "strict_xml": set(),
    "lock_driver": {"model"},
    "ports": set(),
    "importing": {"cib", "model", "problems", "spec"},
    "precedence": {"model"},
    "spec": {"strict_xml", "model", "precedence", "stacks", "problems", "assets"},
    "cib": {"strict_xml", "model", "precedence", "stacks", "problems", "assets"},
    "history": set(),
    "claim": set(),
    "lint": {"strict_xml", "cib", "model", "problems", "spec"},
    "graph": {"lint"},
    "oracle": {"cib", "problems"},
    "capacity": {"cib", "problems"},
    "observe": {"cib", "fencing_proof", "lock_driver", "model", "ports", "problems", "claim", "history", "guard"},
    "plan": {"cib", "model", "oracle", "ports", "problems", "observe"},
    "apply": {
        "strict_xml",
        "cib",
        "fencing_proof",
        "model",
        "oracle",
        "ports",
        "problems",
        "observe",
        "plan",
        "history",
    },
    "move": {"ports", "problems", "claim", "history", "observe", "guard"},
    "preflight": {"ports", "problems", "claim", "history", "observe", "move", "cib", "oracle", "guard"},
    "forget": {"ports"},
    "converging": set(),
    "rehearsal": {"strict_xml", "ports", "problems", "claim", "history", "observe", "preflight", "cib", "converging"},
    "claiming": {"ports", "problems", "claim", "history", "preflight", "rehearsal"},
    "watching": {"forget", "ports", "problems", "claim", "claiming", "history", "observe", "move", "cib", "converging"},
    "cold": {"ports", "problems", "claim", "history", "move"},
    "cold_moving": {
        "ports",
        "problems",
        "claim",
        "claiming",
        "history",
        "cold",
        "move",
        "rehearsal",
        "watching",
        "cib",
    },
    "moving": {
        "forget",
        "ports",
        "problems",
        "claim",
        "claiming",
        "cold_moving",
        "history",
        "preflight",
        "rehearsal",
        "watching",
        "cib",
    },
    "aborting": {
        "ports",
        "problems",
        "claim",
        "claiming",
        "cold_moving",
        "forget",
        "history",
        "move",
        "rehearsal",
        "watching",
        "cib",
    },
    "adopting": {"apply", "cib", "forget", "model", "observe", "ports", "problems"},
    "power": {"forget", "ports", "problems", "observe", "move", "rehearsal", "preflight", "history"},
    "draining": {
        "capacity",
        "cib",
        "observe",
        "ports",
        "preflight",
        "problems",
        "rehearsal",
        "watching",
    },
    "verify": {"fencing_proof", "ports", "problems", "observe", "rehearsal", "cib"},
    "locks": {"ports", "problems", "observe", "rehearsal", "preflight"},
    "survey": {"model", "observe", "ports", "problems"},
    "fence_ports": {"ports"},
    "fencing_proof": {"cib", "model", "problems"},
    "fences": {"fence_ports", "fencing_proof", "observe", "ports", "problems", "rehearsal", "cib"},
    "edge": {"ports", "problems", "model", "fence_ports"},
    "host": {"ports", "problems", "model", "guard", "assets"},
    "bootstrap": {"host", "lock_driver", "model", "ports", "problems"},
    "lab": {"cib", "lock_driver", "model", "spec", "host", "ports", "problems", "guard", "assets"},
    "sim": {"cib", "ports", "problems"},
    "cli": None,
    "__main__": {"cli"},
    "__init__": set(),
}


def part(module: str) -> str:
    """The part a dotted module name belongs to: `hacluster.cib.merge` -> `cib`."""
    names = module.split(".")
    return "resource_agents" if names[0] == "resource_agents" else (names[1] if len(names) > 1 else "__init__")


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def imports(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return {name for name in found if name.split(".")[0] in ("hacluster", "resource_agents")}


@pytest.mark.parametrize("path", CODE, ids=name_of)
def test_a_module_imports_only_along_the_arrows(path: Path) -> None:
    here = part(name_of(path))
    assert here in ARROWS, f"{here} is a new part of the house: give it its arrows here and in docs/concepts.md"
    allowed = ARROWS[here]
    if allowed is None:
        return
    wrong = {name for name in imports(path) if name != "hacluster" and part(name) not in allowed | {here, "__init__"}}
    assert not wrong, f"{name_of(path)} may import {sorted(allowed)}, not {sorted(wrong)}"


@pytest.mark.parametrize("path", CODE, ids=name_of)
def test_a_module_is_one_idea(path: Path) -> None:
    lines = len(path.read_text().splitlines())
    assert lines <= 450, f"{lines} lines: a module is one idea, rarely over 400 lines"


@pytest.mark.parametrize("path", CODE, ids=name_of)
def test_a_module_opens_with_why_it_exists(path: Path) -> None:
    text = path.read_text()
    assert not text.strip() or ast.get_docstring(ast.parse(text)), "a module opens with why it exists"


def test_nothing_is_called_utils_or_manager() -> None:
    named = {path.stem for path in CODE} | {path.parent.name for path in CODE}
    assert not named & {"utils", "util", "manager", "helpers", "misc", "common"}
