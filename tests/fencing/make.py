"""fencing/agents.json from the installed agents' own metadata, and docs/fence-devices.md from the profiles."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from hacluster.cib import fence_catalogue, fencing, metadata
from hacluster.cib.fence_catalogue import FENCER
from hacluster.edge import local
from hacluster.edge.agents import InstalledAgents

PAGE = Path(__file__).parents[2] / "docs" / "fence-devices.md"
PACKAGES = ("fence-agents", "fence-virt", "pacemaker")
FENCER_PATHS = ("/usr/lib/pacemaker/pacemaker-fenced", "/usr/libexec/pacemaker/pacemaker-fenced")


def installed() -> dict[str, str]:
    """The installed versions of the packages that the catalogue is made from; those that are missing are left out."""
    done = subprocess.run(
        ["dpkg-query", "-W", "-f", "${Package} ${Version} ${db:Status-Status}\n", *PACKAGES],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    rows = (line.split() for line in done.stdout.splitlines())
    return {row[0]: row[1] for row in rows if len(row) == 3 and row[2] == "installed"}


def agents() -> dict[str, dict[str, object]]:
    """Every installed agent's catalogue entry, and the fencer's. One that has no metadata is left out."""
    found = dict(_agents())
    fencer = next(path for path in FENCER_PATHS if local.run([path, "metadata"], stdin=b"", deadline=10).ok)
    told = local.run([fencer, "metadata"], stdin=b"", deadline=10).out
    found[FENCER] = fence_catalogue.encode(metadata.parse(told))
    return dict(sorted(found.items()))


def _agents() -> Iterator[tuple[str, dict[str, object]]]:
    known = InstalledAgents()
    names = known.fence_agents()
    with ThreadPoolExecutor(2) as pool:
        for name, text in zip(names, pool.map(known.metadata, names), strict=True):
            if isinstance(text, bytes):
                yield name.removeprefix("stonith:"), fence_catalogue.encode(metadata.parse(text))


def catalogue() -> str:
    """The whole file, an agent a line."""
    lines = ",\n".join(f"  {json.dumps(name)}: {json.dumps(said)}" for name, said in agents().items())
    packages = json.dumps(installed(), sort_keys=True)
    return f'{{"made_by": "python -m tests.fencing",\n "packages": {packages},\n "agents": {{\n{lines}\n }}}}\n'


def page() -> str:
    """docs/fence-devices.md."""
    return "\n".join((*HEAD, *(line for profile in fencing.profiles() for line in _profile(profile))))


HEAD = (
    "# Fence devices",
    "",
    "*Made by `python -m tests.fencing` from `fencing/profiles`; `hactl fence profiles` prints the same.*",
    "",
    'A profile says what a device of its kind needs so that its "it is off" can be believed. `hactl check` holds each',
    "device of the spec to its profile, and each of its parameters to what the agent says of itself: the installed",
    "one, else Debian's, whose parameters `fencing/agents.json` keeps. `ports` are the spec's own: they become",
    "`pcmk_host_map`. Passwords are given by reference (`file:`, `env:`, `cmd:`) and go to Pacemaker's secrets store.",
    "",
)


def _profile(profile: fencing.Profile) -> Iterator[str]:
    yield f"## {profile.name}"
    yield ", ".join(f"`{agent}`" for agent in profile.agents)
    yield ""
    yield f"{profile.purpose} {profile.why}"
    yield ""
    yield f"- cuts: **{profile.cuts}**; a device fences {'one node' if profile.targets == 'one' else 'several nodes'}"
    if profile.called is not None:
        yield f"- it has to be called `{profile.called}`"
    for word, rules in fencing.rules(profile):
        for name, reason in rules.items():
            yield f"- {word} `{name}`: {reason}"
    yield ""
