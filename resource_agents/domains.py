"""The domain files that hactl laid on this node, one for each version of a VM: NAME.CHECKSUM.xml."""

from __future__ import annotations

import os

from hacluster.guard import state

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

DIRECTORY = "/etc/hacluster/domains"


def domain_files(directory: str = DIRECTORY) -> Iterator[tuple[str, str, str]]:
    """Uuid, name and XML of each."""
    try:
        files = os.listdir(directory)
    except FileNotFoundError:
        return
    for file in files:
        if file.endswith(".xml"):
            with open(f"{directory}/{file}", encoding="utf-8", errors="replace") as opened:
                xml = opened.read()
            uuid = xml.partition("<uuid>")[2].partition("</uuid>")[0]
            yield state.lower_case_uuid(uuid), file.rsplit(".", 2)[0], xml


def domain_names() -> dict[str, str]:
    """Uuid to name of the VMs that have one."""
    return {uuid: name for uuid, name, _ in domain_files()}
