"""What a cluster host gets from hacluster: the guard, the agents and the hook, and where each file lies there.

The lab and `hactl node bootstrap` install the same list. The files are the project's own, beside this one in a
checkout as in an installed wheel. What differs between hosts (guard.conf, domain XML) is not here.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

LIBRARY = "/usr/lib/hacluster"
OCF = "/usr/lib/ocf/resource.d/hacluster"
HOOK = "/etc/libvirt/hooks/qemu.d/hacluster"
UNITS = "/etc/systemd/system"

_ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class PayloadFile:
    """One file of a host: its absolute path there, its content, and its permission bits."""

    destination: str
    content: bytes
    mode: int


def files() -> tuple[PayloadFile, ...]:
    """Every file of the payload, sorted by destination."""
    agents = _ROOT / "resource_agents"
    found = [_library(_ROOT / "hacluster" / "__init__.py")]
    found += [_library(path) for path in (_ROOT / "hacluster" / "guard").glob("*.py")]
    found += [_library(path) for path in agents.glob("*.py")]
    found += [_library(path) for path in (agents / "metadata").glob("*.xml")]
    found += [_library(agents / "hooks" / "qemu", 0o755)]  # what the installed hook is compared with
    found += [_placed(path, f"{OCF}/{path.name}", 0o755) for path in (agents / "ocf").iterdir() if path.is_file()]
    found += [_placed(path, f"{LIBRARY}/{path.name}", 0o755) for path in (agents / "bin").iterdir() if path.is_file()]
    found += [_placed(agents / "hooks" / "qemu", HOOK, 0o755)]
    found += [_placed(agents / "systemd" / "hacluster-drain.service", f"{UNITS}/hacluster-drain.service", 0o644)]
    found += [_placed(agents / "systemd" / "pacemaker.conf", f"{UNITS}/pacemaker.service.d/hacluster.conf", 0o644)]
    return tuple(sorted(found, key=lambda file: file.destination))


def _placed(path: Path, destination: str, mode: int) -> PayloadFile:
    return PayloadFile(destination, path.read_bytes(), mode)


def _library(path: Path, mode: int = 0o644) -> PayloadFile:
    return _placed(path, f"{LIBRARY}/{path.relative_to(_ROOT)}", mode)
