"""Bare machines in memory: bootstrap's Host port over files in a dictionary and the few tools that bootstrap calls.

A `Lun` is what several machines see as one device. `San.kill_after` ends the world, like a kill -9 of hactl, after so
many changes; what was changed by then stays. Every tool here answers as the real one does where bootstrap looks.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from hacluster.bootstrap.membership import CIB, CONF
from hacluster.ports import Completed, NodeFile, Unreachable

DEBIAN = b'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nID=debian\nVERSION_ID="12"\n'
EXAMPLE = b"totem {\n\tversion: 2\n\tcluster_name: debian\n}\nnodelist {\n\tnode {\n\t\tring0_addr: 127.0.0.1\n\t}\n}\n"

READING = (
    *(
        "cat",
        "true",
        "false",
        "test",
        "hostname",
        "date",
        "dpkg-query",
        "lsblk",
        "wipefs",
        "blkid",
        "pvs",
        "lvs",
        "pidof",
    ),
    *("read", "sha256sum", "older", "head", "compiled?", "systemctl show", "systemctl is-active", "ip"),
)
"""Tools, by name or script, that change nothing."""


class Killed(BaseException):
    """hactl was killed here."""


@dataclass
class Lun:
    """A shared device: what is written on it. A volume's content is None when it is new, and its type is empty when it
    is data that no tool knows."""

    serial: str = "shared0"
    size: int = 3 << 30
    signatures: list[tuple[str, str]] = field(default_factory=list)
    dirty: bool = False
    group: str = ""
    lock_type: str = ""
    volumes: dict[str, tuple[str, str] | None] = field(default_factory=dict)


@dataclass
class San:
    """What the machines have in common: the device, and how many changes there may be until the kill."""

    lun: Lun = field(default_factory=Lun)
    machines: dict[str, Machine] = field(default_factory=dict)
    kill_after: int | None = None
    changed: int = 0

    def change(self) -> None:
        if self.kill_after is not None and self.changed >= self.kill_after:
            raise Killed
        self.changed += 1


class Machine:
    """One machine in memory. `log` has every command that changed it."""

    def __init__(self, name: str, san: San | None = None, device: str = "/dev/disk/by-id/shared") -> None:
        self._name = name
        self.san = san or San()
        self.san.machines[name] = self
        self.device = device
        self.up = True
        self.files: dict[str, tuple[bytes, int]] = {
            "/etc/os-release": (DEBIAN, 0o644),
            "/proc/sys/kernel/random/boot_id": (f"boot-of-{name}\n".encode(), 0o444),
            "/etc/hosts": (f"127.0.0.1\tlocalhost\n127.0.1.1\t{name}\n".encode(), 0o644),
            "/etc/ssh/ssh_host_ed25519_key.pub": (f"ssh-ed25519 HOST{name} root@{name}\n".encode(), 0o644),
        }
        self.hostname = "debian"
        self.packages: set[str] = set()
        self.units: dict[str, tuple[bool, bool]] = {"systemd-timesyncd.service": (True, True)}
        self.clock = 0.0
        self.directories: set[str] = set()
        self.active: set[str] = set()
        self.mounted = ""
        self.log: list[str] = []

    @property
    def name(self) -> str:
        return self._name

    def read(self, path: str) -> bytes | None:
        self._answer()
        if any(other.startswith(f"{path}/") for other in self.files):
            raise OSError(f"{path} is a directory")
        found = self.files.get(path)
        return None if found is None else found[0]

    def write(self, *files: NodeFile) -> None:
        self._answer()
        for file in files:
            if any(other.startswith(f"{file.path}/") for other in self.files):
                raise OSError(f"{file.path} is a directory")
        for file in files:
            self.san.change()
            self.log.append(f"write {file.path}")
            self.files[file.path] = (file.content, file.mode)
            folder, _, unit = file.path.rpartition("/")
            if folder == "/etc/systemd/system":
                self.units.setdefault(unit, (False, False))

    def remove(self, path: str) -> None:
        self._answer()
        self.san.change()
        self.log.append(f"remove {path}")
        self.files.pop(path, None)

    def run(self, argv: Sequence[str], *, stdin: bytes = b"", deadline: float = 120.0) -> Completed:
        self._answer()
        script = list(argv[:2]) == ["sh", "-c"]
        words = [*argv[3].split(), *argv[4:]] if script and len(argv) > 3 else list(argv)
        if script and len(argv) == 3:
            words = ["compiled?"] if ".compiled" in argv[2] else ["script"]
        name = words[0]
        if name == "sleep":
            raise Unreachable(f"{self._name}: sleep did not end in time")
        two = " ".join(words[:2])
        if name not in READING and two not in READING and "--no-act" not in words:
            self.san.change()
            self.log.append(" ".join(words))
        tool = getattr(self, "_" + re.sub(r"[^a-z]", "_", name.split()[0]), None)
        if tool is None:
            return Completed(127, b"", f"{name}: not found".encode())
        code, out = tool(words[1:], stdin)
        return Completed(code, out, b"" if code == 0 else b"no: " + name.encode())

    def _answer(self) -> None:
        if not self.up:
            raise Unreachable(f"{self._name} does not answer")

    # --- coreutils and Debian --------------------------------------------------------------------------------------

    def _cat(self, words: list[str], stdin: bytes) -> tuple[int, bytes]:
        return 0, stdin

    def _true(self, words: list[str], stdin: bytes) -> tuple[int, bytes]:
        return 0, b""

    def _false(self, words: list[str], stdin: bytes) -> tuple[int, bytes]:
        return 1, b""

    def _test(self, words: list[str], stdin: bytes) -> tuple[int, bytes]:
        return (0 if words[1] in self.files or words[1] in self.directories else 1), b""

    def _mkdir(self, words: list[str], stdin: bytes) -> tuple[int, bytes]:
        self.directories.update(words[1:])
        return 0, b""

    def _hostname(self, words: list[str], stdin: bytes) -> tuple[int, bytes]:
        if words:
            self.hostname = words[0]
        return 0, f"{self.hostname}\n".encode()

    def _date(self, words: list[str], stdin: bytes) -> tuple[int, bytes]:
        import time

        return 0, f"{time.time() + self.clock:.9f}\n".encode()

    def _dpkg_query(self, words: list[str], stdin: bytes) -> tuple[int, bytes]:
        known = [name for name in words[3:] if name in self.packages]
        return 0 if len(known) == len(words[3:]) else 1, "".join(f"{name} installed\n" for name in known).encode()

    def _apt_get(self, words: list[str], stdin: bytes) -> tuple[int, bytes]:
        for name in words:
            self.packages.add(name)
        self.files.setdefault(CONF, (EXAMPLE, 0o644))
        self.files.setdefault("/etc/lvm/lvm.conf", (b"global {\n\t# use_lvmlockd = 0\n}\n", 0o644))
        self.files.setdefault("/etc/libvirt/qemu.conf", (b'#lock_manager = "lockd"\n', 0o600))
        for unit in ("corosync", "pacemaker", "dlm", "lvmlockd", "lvmlocks", "libvirt-guests", "libvirtd"):
            self.units.setdefault(f"{unit}.service", (True, False))
        for unit in ("pcsd.service", "libvirtd.socket", "virtlogd.socket", "virtlockd.socket"):
            self.units.setdefault(unit, (True, False))
        return 0, b""

    def _chpasswd(self, words: list[str], stdin: bytes) -> tuple[int, bytes]:
        self.files["/etc/shadow"] = (stdin, 0o600)
        return 0, b""

    def _ssh_keygen(self, words: list[str], stdin: bytes) -> tuple[int, bytes]:
        self.files["/root/.ssh/id_ed25519"] = (b"PRIVATE", 0o600)
        self.files["/root/.ssh/id_ed25519.pub"] = (f"ssh-ed25519 KEY{words[0]} root@{words[0]}\n".encode(), 0o644)
        return 0, b""

    def _sha___sum(self, words: list[str], stdin: bytes) -> tuple[int, bytes]:
        import hashlib

        told = (
            f"{hashlib.sha256(content).hexdigest()} {mode:o} {path}\n"
            for path, (content, mode) in self.files.items()
            if path in words
        )
        return 0, "".join(told).encode()

    def _compileall(self, words: list[str], stdin: bytes) -> tuple[int, bytes]:
        self.files["compiled"] = (b"", 0)
        return 0, b""

    def _compiled_(self, words: list[str], stdin: bytes) -> tuple[int, bytes]:
        return (0 if "compiled" in self.files else 1), b""

    def _older(self, words: list[str], stdin: bytes) -> tuple[int, bytes]:
        return 1, b""

    def _ip(self, words: list[str], stdin: bytes) -> tuple[int, bytes]:
        return 0, b"[]"

    def _ifup(self, words: list[str], stdin: bytes) -> tuple[int, bytes]:
        self.directories.add(f"/sys/class/net/{words[0]}/bridge")
        return 0, b""

    # --- systemd ---------------------------------------------------------------------------------------------------

    def _systemctl(self, words: list[str], stdin: bytes) -> tuple[int, bytes]:
        verb, units = words[0], [word for word in words[1:] if not word.startswith("-")]
        if verb == "show":
            return 0, "\n\n".join(self._unit(name) for name in units).encode() + b"\n"
        if verb == "is-active":
            states = (self.units.get(f"{name}.service", (False, False))[1] for name in units)
            return 0, "".join("active\n" if active else "inactive\n" for active in states).encode()
        for name in units:
            if name not in self.units:
                return 1, b""
            enabled, active = self.units[name]
            if verb in ("enable", "disable"):
                enabled = verb == "enable"
            if verb in ("start", "restart") or "--now" in words:
                active = True
            if verb == "stop":
                active = False
            self.units[name] = (enabled, active)
            if name == "pacemaker.service" and active:
                self.files[CIB] = (b"<cib/>", 0o600)
        return 0, b""

    def _unit(self, name: str) -> str:
        enabled, active = self.units.get(name, (False, False))
        loaded = "loaded" if name in self.units else "not-found"
        state = "enabled" if enabled else "disabled"
        return f"Id={name}\nLoadState={loaded}\nActiveState={'active' if active else 'inactive'}\nUnitFileState={state}"

    # --- the cluster -----------------------------------------------------------------------------------------------

    def _pcs(self, words: list[str], stdin: bytes) -> tuple[int, bytes]:
        if any(word.startswith("--request") for word in words) and not {"auth", "start"} & set(words):
            return 1, b""  # pcs 0.11: "is not supported in this command"
        words = [word for word in words if not word.startswith("--request")]
        if words[:2] == ["host", "auth"]:
            passwords = {m.files.get("/etc/shadow", (b"",))[0].rpartition(b":")[2] for m in self.san.machines.values()}
            running = all(m.units["pcsd.service"][1] for m in self.san.machines.values())
            return (0 if running and passwords == {stdin} else 1), b""
        if words[:2] == ["cluster", "setup"]:
            return self._setup(words[2:])
        if words[:3] == ["cluster", "enable", "--all"]:
            return self._all("enable")
        if words[:3] == ["cluster", "start", "--all"]:
            return self._all("start")
        return 1, b""

    def _setup(self, words: list[str]) -> tuple[int, bytes]:
        if any(CONF in machine.files for machine in self.san.machines.values()):
            return 1, b""  # as pcs without --force: the host is in a cluster already
        nodes: dict[str, list[str]] = {}
        for word in words[1 : words.index("transport")]:
            if word.startswith("addr="):
                nodes[list(nodes)[-1]].append(word[5:])
            else:
                nodes[word] = []
        listed = "".join(
            "node {\n"
            + "".join(f"ring{i}_addr: {a}\n" for i, a in enumerate(links))
            + f"name: {name}\nnodeid: {i}\n}}\n"
            for i, (name, links) in enumerate(nodes.items(), 1)
        )
        conf = f"totem {{\ncluster_name: {words[0]}\n}}\nnodelist {{\n{listed}}}\n".encode()
        for machine in self.san.machines.values():
            machine.files[CONF] = (conf, 0o644)
        return 0, b""

    def _all(self, verb: str) -> tuple[int, bytes]:
        for machine in self.san.machines.values():
            machine._systemctl([verb, "corosync.service", "pacemaker.service"], b"")
        return 0, b""

    # --- disks -----------------------------------------------------------------------------------------------------

    def _lsblk(self, words: list[str], stdin: bytes) -> tuple[int, bytes]:
        lun = self.san.lun
        if words[-1] != self.device:
            return 32, b""
        volumes = [{"path": f"/dev/{name}", "type": "lvm", "mountpoints": []} for name in self.active]
        mounts = [self.mounted or None]
        told = {"path": "/dev/sda", "serial": lun.serial, "wwn": None, "size": lun.size, "mountpoints": mounts}
        return 0, json.dumps({"blockdevices": [{**told, "children": volumes}]}).encode()

    def _wipefs(self, words: list[str], stdin: bytes) -> tuple[int, bytes]:
        lun = self.san.lun
        if "--no-act" in words:
            rows = [{"type": what, "offset": "0x218", "label": label} for what, label in lun.signatures]
            return 0, json.dumps({"signatures": rows}).encode() if rows else b""
        lun.signatures, lun.group, lun.volumes, lun.dirty = [], "", {}, False
        return 0, b""

    def _head(self, words: list[str], stdin: bytes) -> tuple[int, bytes]:
        offset = int(words[1])
        written = self.san.lun.dirty if not offset else self._volume_at(offset) is not None
        return 0, b"1\n" if written else b"0\n"

    def _volume_at(self, offset: int) -> tuple[str, str] | None:
        return list(self.san.lun.volumes.values())[(offset - 1048576) // 4194304 // 8]

    def _pvs(self, words: list[str], stdin: bytes) -> tuple[int, bytes]:
        lun = self.san.lun
        if "lvm2" not in self.packages:
            return 127, b""
        row: dict[str, object] = {"vg_name": lun.group, "vg_lock_type": lun.lock_type, "pv_count": "1"}
        if "--segments" in words:
            places = {name: str(index * 8) for index, name in enumerate(lun.volumes)}
            rows = [
                {
                    "lv_name": n,
                    "seg_start_pe": "0",
                    "pvseg_start": at,
                    "pe_start": "1048576",
                    "vg_extent_size": "4194304",
                }
                for n, at in places.items()
            ]
            return 0, json.dumps({"report": [{"pvseg": rows}]}).encode()
        return 0, json.dumps({"report": [{"pv": [row]}]}).encode()

    def _lvs(self, words: list[str], stdin: bytes) -> tuple[int, bytes]:
        rows = [{"lv_name": name, "lv_size": "2.9g"} for name in self.san.lun.volumes]
        return 0, json.dumps({"report": [{"lv": rows}]}).encode()

    def _blkid(self, words: list[str], stdin: bytes) -> tuple[int, bytes]:
        content = self._volume_at(int(words[words.index("--offset") + 1]))
        return (
            (2, b"") if content is None or not content[0] else (0, f"LABEL={content[1]}\nTYPE={content[0]}\n".encode())
        )

    def _pidof(self, words: list[str], stdin: bytes) -> tuple[int, bytes]:
        return 1, b""

    def _locked(self) -> bool:
        daemons = all(self.units.get(f"{name}.service", (0, 0))[1] for name in ("lvmlockd", "corosync"))
        # A member of the cluster that does not join the DLM is fenced, and until then nobody gets a lock.
        daemons = daemons and all(m.units["dlm.service"][1] for m in self.san.machines.values())
        return daemons and b"use_lvmlockd = 1" in self.files["/etc/lvm/lvm.conf"][0]

    def _vgcreate(self, words: list[str], stdin: bytes) -> tuple[int, bytes]:
        lun = self.san.lun
        if not self._locked() or lun.signatures:
            return 5, b""
        lun.signatures, lun.group, lun.lock_type = [("LVM2_member", "")], words[-2], "dlm"
        return 0, b""

    def _vgchange(self, words: list[str], stdin: bytes) -> tuple[int, bytes]:
        self.active -= set() if "--lock-start" in words else set(self.active)
        return 0, b""

    def _lvcreate(self, words: list[str], stdin: bytes) -> tuple[int, bytes]:
        name = words[words.index("--name") + 1]
        if not self._locked() or self.san.lun.group != words[-1] or name in self.san.lun.volumes:
            return 5, b""
        self.san.lun.volumes[name] = None
        self.active.add(f"{words[-1]}/{name}")
        return 0, b""

    def _lvchange(self, words: list[str], stdin: bytes) -> tuple[int, bytes]:
        self.active.add(words[-1])
        return (0 if self._locked() else 5), b""

    def _mkfs_gfs_(self, words: list[str], stdin: bytes) -> tuple[int, bytes]:
        group, name = words[-1].split("/")[2:]
        if f"{group}/{name}" not in self.active:
            return 1, b""
        self.san.lun.volumes[name] = ("gfs2", words[words.index("-t") + 1])
        return 0, b""
