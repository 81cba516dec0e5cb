"""Every problem's kind, for `hactl explain`, and the codes that an admin accepts with `--accept`."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterable, Mapping

import typer

import hacluster
from hacluster.problems import CATALOGUE, Kind


def load() -> Mapping[str, Kind]:
    """The whole catalogue: each kind is declared beside the code that finds it, so every module has to be imported."""
    for module in pkgutil.walk_packages(hacluster.__path__, "hacluster."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    return CATALOGUE


def accepted(codes: Iterable[str]) -> frozenset[str]:
    """The codes given with `--accept`. A code that no risk has is a usage error: it would silently accept nothing."""
    given = frozenset(code.upper() for code in codes)
    known = load() if given else {}
    for code in sorted(given):
        kind = known.get(code)
        if kind is None:
            raise typer.BadParameter(f"there is no problem {code}; `hactl explain` lists them", param_hint="--accept")
        if not kind.acceptable:
            raise typer.BadParameter(f"{code} is not a risk that can be taken: {kind.title}", param_hint="--accept")
    return given
