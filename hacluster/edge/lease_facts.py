"""What a node's probe tells of libvirt's lock driver, as the value of the ports. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from hacluster.edge import told
from hacluster.ports import LeaseFacts


def read(value: object) -> LeaseFacts | None:
    """The probe's part; None when it has none, as that of an older guard."""
    if not isinstance(value, dict):
        return None
    place = told.parts(value.get("filesystem"), str)
    return LeaseFacts(
        settings={path: _texts(names) for path, names in told.part(value.get("settings")).items()},
        in_use=told.truth(value.get("in_use")),
        problem=str(value.get("problem") or ""),
        directory=str(value.get("directory") or ""),
        filesystem=place[1] if place is not None and len(place) == 2 else "",
        identity=told.text(value.get("identity")),
        bare={uuid: told.parts(paths, str) or () for uuid, paths in told.part(value.get("bare")).items()},
        left=told.parts(value.get("left"), str) or (),
        watchdog=told.truth(value.get("watchdog")),
    )


def _texts(names: object) -> Mapping[str, str]:
    return {name: str(text) for name, text in told.part(names).items()}
