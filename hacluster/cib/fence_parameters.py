"""Does an agent know the parameters that its fence device has? Held against what the agent says of itself. Pure.

A fence agent ignores what it does not know, and a boolean that is none, with a line in the log that nobody reads: the
setting is missing when the device is needed. Parameters that begin with pcmk_ are the fencer's.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping

from hacluster.cib import fence_catalogue
from hacluster.cib.durations import seconds
from hacluster.cib.fence_devices import SECRET
from hacluster.cib.metadata import Metadata, Parameter
from hacluster.problems import Problem, kind

UNKNOWN_PARAMETER = kind(
    "HA261",
    "A parameter that the fence agent does not know",
    "The agent ignores it and says so in its log at most; what it was meant to set is not set.",
)
DEPRECATED_PARAMETER = kind(
    "HA262",
    "A parameter under its old name",
    "The agent still takes it, and has announced that a later version will not.",
    severity="warning",
)
MISTYPED_PARAMETER = kind(
    "HA263",
    "A parameter that is not of the type that the fence agent wants",
    "Agents refuse a number that is none when they are called, which is when a node has already failed, and ignore a "
    "boolean that is none.",
)
NOT_CHECKED = kind(
    "HA264",
    "A fence device's parameters were not checked",
    "The agent is not installed here, and it is none of Debian's, whose parameters hactl knows.",
    severity="warning",
)

Describe = Callable[[str], Metadata | None]

# fencing.py of fence-agents reads just these (in any case); the fencer all that crm_is_true does.
_BOOLEANS = frozenset({"1", "yes", "on", "true", "0", "no", "off", "false"})
# What every agent is told of its target, wanted or not.
_TOLD = frozenset({"nodename", "nodeid", "crm_feature_set"})
_ACTION = re.compile(r"pcmk_[\w-]+_(action|timeout|retries)")


def check(agent: str, given: Mapping[str, str], where: str, describe: Describe | None = None) -> Iterator[Problem]:
    """Every finding about a device's parameters. `given` maps them to values, a secret to `lrm://`.

    `describe` gives an agent's own metadata, None where it is not to be had; Debian's catalogue is used then.
    """
    told = (describe(f"stonith:{agent}") if describe is not None else None) or fence_catalogue.described(agent)
    if told is None:
        yield NOT_CHECKED(
            f"nothing is known here of the parameters of {agent}",
            where=where,
            remedy=f"run hactl check where {agent} is installed",
        )
    fencer = fence_catalogue.described(fence_catalogue.FENCER)
    for name, value in given.items():
        asked = fencer if name.startswith("pcmk_") else told
        if asked is None or name in _TOLD:
            continue
        parameter = asked.parameters.get(name) or asked.parameters.get(name.replace("-", "_"))
        if parameter is None:
            if not (asked is fencer and _ACTION.fullmatch(name)):
                yield _unknown(agent, name, asked, where)
            continue
        if parameter.deprecated:
            yield _deprecated(agent, parameter, where)
        if value != SECRET and (wrong := _wrong(parameter, value)) is not None:
            yield MISTYPED_PARAMETER(
                f"{name} of {agent} is {_quoted(value)}: {wrong}",
                where=f"{where}.{name}",
                remedy=f"write {_example(parameter)}",
            )


def _unknown(agent: str, name: str, asked: Metadata, where: str) -> Problem:
    near = _nearest(name, asked.parameters)
    meant = near and (asked.parameters[near].newer or near)  # a misspelt old name leads to the new one
    whose = "Pacemaker's fencer" if name.startswith("pcmk_") else agent
    return UNKNOWN_PARAMETER(
        f"{whose} has no parameter {name}" + (f"; did you mean {meant}?" if meant else ""),
        where=f"{where}.{name}",
        remedy=f"rename it to {meant}" if meant else f"remove it; pcs stonith describe {agent} lists them all",
    )


def _deprecated(agent: str, parameter: Parameter, where: str) -> Problem:
    newer = f"{agent} calls {parameter.name} {parameter.newer} now"
    return DEPRECATED_PARAMETER(
        newer if parameter.newer else f"{agent} will not take {parameter.name} for ever",
        where=f"{where}.{parameter.name}",
        remedy=f"rename it to {parameter.newer}" if parameter.newer else f"pcs stonith describe {agent}",
    )


def _wrong(parameter: Parameter, value: str) -> str | None:
    """Why a value is not of its parameter's type; None when it is, or the type is none that can be judged."""
    if parameter.kind in ("integer", "second") and not re.fullmatch(r"\s*[+-]?\d+\s*", value):
        return "it wants a whole number" + (" of seconds, without a unit" if parameter.kind == "second" else "")
    if parameter.kind == "time" and seconds(value) is None:
        return "it wants a time"
    if parameter.kind == "boolean" and value.lower() not in _BOOLEANS:
        return "it wants true or false"
    if parameter.kind == "select" and parameter.options and value not in parameter.options:
        meant = _nearest(value, parameter.options)
        return f"it wants {' or '.join(parameter.options)}" + (f"; did you mean {meant}?" if meant else "")
    return None


def _example(parameter: Parameter) -> str:
    examples = {"integer": "a number", "second": "a number of seconds", "time": 'a time, for instance "60s"'}
    if parameter.kind == "select":
        return " or ".join(f'"{option}"' for option in parameter.options)
    return examples.get(parameter.kind, "true or false")


def _quoted(text: str) -> str:
    return '"' + (text if len(text) <= 60 else text[:60] + "…") + '"'


def _nearest(word: str, known: Iterable[str]) -> str | None:
    close = difflib.get_close_matches(word.casefold(), list(known), n=1, cutoff=0.6)
    return close[0] if close else None
