"""A CIB against Pacemaker's own RELAX NG schemas, where they are installed: errors show here, and not at the push."""

from __future__ import annotations

import re
from collections.abc import Iterator
from copy import deepcopy
from functools import cache
from pathlib import Path

from lxml import etree

from hacluster.problems import Problem, kind

DIRECTORY = Path("/usr/share/pacemaker")

INVALID = kind(
    "HA230",
    "A CIB that Pacemaker's schema does not take",
    "Pacemaker refuses to load such a configuration. Where hactl made it, an operator's own template is to blame.",
)
UNKNOWN_SCHEMA = kind(
    "HA231",
    "The CIB names a schema that is not installed here",
    "The cluster's Pacemaker is newer than this machine's, or hactl runs where no Pacemaker is.",
    severity="warning",
)


def available(directory: Path = DIRECTORY) -> bool:
    """Whether any of Pacemaker's schemas is installed here."""
    return any(directory.glob("pacemaker-*.rng"))


def newest(directory: Path = DIRECTORY) -> str | None:
    """The newest schema that is installed, as `validate-with` names it; None when there is none."""
    found = [
        match for path in directory.glob("pacemaker-*.rng") if (match := re.fullmatch(r".*-(\d+)\.(\d+)", path.stem))
    ]
    newest_first = sorted(found, key=lambda match: (int(match[1]), int(match[2])), reverse=True)
    return newest_first[0].string if newest_first else None


def check(cib: etree._Element, directory: Path = DIRECTORY) -> tuple[Problem, ...]:
    """What the schema that the CIB names has against it; a warning when that schema is not here."""
    return tuple(_check(cib, directory))


def _check(cib: etree._Element, directory: Path) -> Iterator[Problem]:
    name = cib.get("validate-with", "")
    path = directory / f"{name}.rng"
    if not re.fullmatch(r"pacemaker-[0-9a-z.]+", name) or not path.is_file():
        yield UNKNOWN_SCHEMA(
            f"there is no schema {name!r}", where=str(directory), remedy="apt-get install pacemaker-common"
        )
        return
    schema = _load(path)
    if not schema.validate(_without_status(cib)):
        for error in schema.error_log:
            yield INVALID(error.message, where=f"line {error.line}", remedy="hactl template list", schema=name)


def _without_status(cib: etree._Element) -> etree._Element:
    """The status section has a schema of its own history; only the configuration is an admin's to get right."""
    copy = deepcopy(cib)  # its elements keep their lines
    status = copy.find("status")
    if status is not None:
        for child in list(status):
            status.remove(child)
    return copy


@cache
def _load(path: Path) -> etree.RelaxNG:
    return etree.RelaxNG(etree.parse(str(path)))
