"""What hactl installs on a node, loaded once more so that it runs on simulated machines.

The source of `hacluster.guard` and `resource_agents` is executed as it stands, line for line; only what it imports
from the system is another (`system`), and the lock manager's library is the one in memory. `edits` change a module's
source before it is loaded: a test takes a barrier away and must see the promise broken.
"""

from __future__ import annotations

import builtins
import importlib.util
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from types import CodeType, ModuleType, SimpleNamespace
from typing import Any

from hacluster.sim.locks import NodePort
from hacluster.sim.system import System

Edits = Mapping[str, Callable[[str], str]]
_OURS = ("hacluster.guard", "resource_agents")
_INSTALLED = "/usr/lib/hacluster"


@cache
def _code(path: str, changed: str | None = None) -> CodeType:
    return compile(Path(path).read_text() if changed is None else changed, path, "exec")


@cache
def _origin(name: str) -> str:
    spec = importlib.util.find_spec(name)
    assert spec is not None, f"there is no module {name}"
    assert spec.origin is not None, f"{name} has no source"
    return spec.origin


class Payload:
    """One loaded copy, shared by all machines: whose file or process is meant follows from who runs."""

    def __init__(self, system: System, children: Mapping[str, Any], edits: Edits | None = None) -> None:
        self._system = system
        self._children = children
        self._edits = dict(edits or {})
        self.trip = 0.001
        """Seconds that an operation of the lock manager takes."""
        self._modules: dict[str, Any] = {}
        self._builtins = {**vars(builtins), "open": system.open, "__import__": self._import}
        self.fabric = self.module("hacluster.guard.memory").Fabric()
        memory_port = self.module("hacluster.guard.memory").MemoryPort
        unknown = self.module("hacluster.guard.dlm").Unknown
        self._modules["hacluster.guard.libdlm"] = SimpleNamespace(
            LibDlm=lambda _lockspace, timeout: NodePort(
                system, self.fabric, memory_port, unknown, timeout, trip=self.trip
            )
        )

    def module(self, name: str) -> Any:
        """A module of the payload."""
        if name not in self._modules:
            path = _origin(name)
            text = self._edits[name](Path(path).read_text()) if name in self._edits else None
            module = ModuleType(name)
            module.__file__ = f"{_INSTALLED}/{name.replace('.', '/')}.py"
            module.__dict__["__builtins__"] = self._builtins
            self._modules[name] = module
            exec(_code(path, text), module.__dict__)
            if name == "hacluster.guard.child":
                module.__dict__.update(self._children)
        return self._modules[name]

    def _import(
        self,
        name: str,
        globals_: Mapping[str, Any] | None = None,
        locals_: Mapping[str, Any] | None = None,
        fromlist: tuple[str, ...] | None = (),
        level: int = 0,
    ) -> Any:
        if name in self._system.modules:
            return self._system.modules[name]
        if not name.startswith(_OURS):
            return builtins.__import__(name, globals_, locals_, fromlist or (), level)
        module = self.module(name)
        for part in fromlist or ():
            if not hasattr(module, part):
                setattr(module, part, self.module(f"{name}.{part}"))
        return module
