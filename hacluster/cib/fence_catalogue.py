"""What Debian's fence agents say of their parameters: for a machine on which an agent is not installed.

`fencing/agents.json` is generated from the agents' metadata (`python -m tests.fencing`), and a test holds it against
them. Where the agent is installed, its own metadata counts. Reads that one file, once.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from hacluster.cib.metadata import Action, Metadata, Parameter

FENCER = "pacemaker-fenced"
"""Under this name stand the parameters that Pacemaker's fencer itself takes (pcmk_…)."""


def described(agent: str) -> Metadata | None:
    """What an agent of Debian's (by its name, or `stonith:NAME`) takes; None for one that Debian does not have."""
    said = _all()["agents"].get(agent.removeprefix("stonith:"))
    return None if said is None else decode(agent, said)


def packages() -> Mapping[str, str]:
    """The Debian packages that the catalogue was made from, with their versions."""
    return {name: str(version) for name, version in _all()["packages"].items()}


def encode(told: Metadata) -> dict[str, object]:
    """An agent's metadata as the catalogue keeps it: a few words for each parameter."""
    return {
        "actions": " ".join(sorted({action.name for action in told.actions})),
        "parameters": {name: _words(parameter) for name, parameter in sorted(told.parameters.items())},
    }


def decode(agent: str, said: Mapping[str, object]) -> Metadata:
    """What `encode` kept, with what it left out missing: defaults, purposes, timeouts."""
    parameters = said["parameters"]
    assert isinstance(parameters, dict)
    return Metadata(
        name=agent,
        parameters={name: _parameter(name, words) for name, words in parameters.items()},
        actions=tuple(Action(name) for name in str(said["actions"]).split()),
    )


def _words(parameter: Parameter) -> str:
    words = [parameter.kind]
    if parameter.required:
        words.append("required")
    if parameter.deprecated:
        words.append(f"deprecated:{parameter.newer or ''}")
    if parameter.options:
        words.append("options:" + "|".join(parameter.options))
    return " ".join(words)


def _parameter(name: str, words: str) -> Parameter:
    # Options come last and may contain spaces.
    head, _, options = words.partition(" options:")
    kind, *flags = head.split()
    newer = next((flag.partition(":")[2] for flag in flags if flag.startswith("deprecated:")), None)
    return Parameter(
        name=name,
        kind=kind,
        required="required" in flags,
        options=tuple(options.split("|")) if options else (),
        deprecated=newer is not None,
        newer=newer or None,
    )


@cache
def _all() -> Mapping[str, Mapping[str, Mapping[str, object]]]:
    """The file. It is part of the program: a missing or damaged one is a bug (OSError, ValueError)."""
    told: Mapping[str, Mapping[str, Mapping[str, object]]] = json.loads(file().read_text(encoding="utf-8"))
    return told


def directory() -> Path:
    """Where the project keeps what it knows of fencing: in a checkout, or inside the package installed from a wheel."""
    package = Path(__file__).resolve().parent.parent
    installed = package / "data" / "fencing"
    return installed if installed.is_dir() else package.parent / "fencing"


def file() -> Path:
    """Where the catalogue lies."""
    return directory() / "agents.json"
