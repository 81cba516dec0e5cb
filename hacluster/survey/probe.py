"""What one host says of itself and of the way to its peers, as one JSON object: facts only, nothing is judged here.

This file is sent as it stands over ssh and run by the host's own `python3 -I -`, before anything of ours is installed
there. So it imports the standard library only and is written for Python 3.6, which SLES 15 has. Argument: the
questions, as JSON. What could not be learnt is null; each part is asked apart, so that one that fails spoils no other.
"""

import glob
import json
import os
import re
import socket
import struct
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Callable, Dict, List

FORMAT = 1
UNITS = (
    "corosync.service", "pacemaker.service", "pcsd.service", "sbd.service", "dlm.service", "lvmlockd.service",
    "libvirtd.service", "libvirtd.socket", "virtqemud.service", "virtqemud.socket", "libvirt-guests.service",
    "virtlockd.service", "multipathd.service", "hacluster-drain.service", "firewalld.service", "ufw.service",
    "nftables.service", "chrony.service", "chronyd.service", "ntpsec.service", "systemd-timesyncd.service",
)  # fmt: skip
QUIET = 3.0
"""Seconds after which a peer that does not answer is silent."""
STARTS = re.compile(r"\bvirsh\b.*\b(start|create|restore|migrate|resume)\b|\bqemu-system-\w+\b|\bvirt-install\b")


def run(argv: "list[str]", timeout: float = 8.0) -> "tuple[int | None, str, str]":
    """Exit code, standard output and standard error; code None where it did not end in time or is not installed."""
    env = dict(os.environ, LC_ALL="C", PATH="/usr/sbin:/usr/bin:/sbin:/bin:/usr/libexec")
    try:
        done = subprocess.run(
            argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=timeout, env=env,
            check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        return None, "", str(error)
    return done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")


def text(path: str) -> "str | None":
    """A small file's content without its last line end; None when it cannot be read."""
    try:
        with open(path, "rb") as file:
            return file.read(1 << 20).decode(errors="replace").rstrip("\n\0")
    except OSError:
        return None


def number_in(line: "str | None") -> "str | None":
    """The first dotted number of a text, None where there is none."""
    found = re.search(r"\d+(?:\.\d+)+", line or "")
    return found.group() if found else None


def versions() -> "dict[str, str | None]":
    """Installed versions by program; null is "not installed, or it does not say"."""
    asked = {
        "corosync": ["corosync", "-v"],
        "pacemaker": ["pacemakerd", "--version"],
        "pcs": ["pcs", "--version"],
        "libvirt": ["virsh", "--version"],
        "lvm": ["lvm", "version"],
        "ssh": ["ssh", "-V"],
    }
    with ThreadPoolExecutor(4) as pool:
        told = dict(zip(asked, pool.map(run, asked.values())))
    return {name: number_in(out or err) if code == 0 else None for name, (code, out, err) in told.items()}


def system() -> "dict[str, object]":
    """Names, release and identity of this machine."""
    release = dict(re.findall(r'^(\w+)="?([^"\n]*)"?$', text("/etc/os-release") or "", re.M))
    return {
        "hostname": socket.gethostname(),
        "release": release.get("ID", "") + " " + release.get("VERSION_ID", ""),
        "kernel": os.uname().release,
        "machine_id": text("/etc/machine-id"),
        "product_uuid": (text("/sys/class/dmi/id/product_uuid") or "").lower() or None,
        "cpus": os.cpu_count(),
    }


def memory() -> "dict[str, int]":
    """Bytes of memory in all and available."""
    told = dict(re.findall(r"^(\w+):\s+(\d+) kB", text("/proc/meminfo") or "", re.M))
    return {"total": int(told["MemTotal"]) << 10, "available": int(told["MemAvailable"]) << 10}


def hypervisor() -> "dict[str, object]":
    """libvirt's own view: whether it answers, its uuid, KVM, machine types, and the CPU that it would give a guest."""
    code, out, err = run(["virsh", "-c", "qemu:///system", "capabilities"], 15.0)
    if code != 0:
        return {"answers": False, "said": err.strip()[-300:]}
    types = set(re.findall(r"<domain type='(\w+)'", out))
    kind = "kvm" if "kvm" in types and os.path.exists("/dev/kvm") else "qemu"
    code, caps, _ = run(["virsh", "-c", "qemu:///system", "domcapabilities", "--virttype", kind], 20.0)
    emulator = re.search(r"<path>([^<]+)</path>", caps)
    version = run([emulator.group(1), "--version"])[1] if emulator else ""
    host_model = re.search(r"<mode name='host-model' supported='yes'>(.*?)</mode>", caps, re.S)
    usable = re.findall(r"<model usable='yes'[^>]*>([^<]+)</model>", caps)
    model = re.search(r"<host>.*?<model>([^<]+)</model>", out, re.S)
    cpu = re.search(r"^model name\s*:\s*(.+)$", text("/proc/cpuinfo") or "", re.M)
    host_uuid = re.search(r"<host>\s*<uuid>([^<]+)</uuid>", out)
    return {
        "answers": True,
        "said": "",
        "uuid": host_uuid.group(1) if host_uuid else None,
        "kvm": kind == "kvm",
        "machines": sorted(set(re.findall(r"<machine[^>]*>([^<]+)</machine>", out))),
        "qemu": number_in(version),
        "cpu": model.group(1) if model else None,
        "cpu_name": cpu.group(1) if cpu else None,
        "models": sorted(usable),
        "host_model": host_model.group(1).strip() if host_model else None,
    }


def links() -> "list[dict[str, Any]]":
    """Network interfaces: kind, MTU, master, VLAN and addresses."""
    found = []
    _, told, _ = run(["ip", "-d", "-j", "address"])
    for one in json.loads(told):
        info = one.get("linkinfo", {})
        data = info.get("info_data", {})
        found.append(
            {
                "name": one["ifname"],
                "kind": info.get("info_kind", ""),
                "mtu": one["mtu"],
                "up": one.get("operstate") in ("UP", "UNKNOWN"),
                "master": one.get("master", ""),
                "vlan": data.get("id") if info.get("info_kind") == "vlan" else None,
                "filters_vlans": bool(data.get("vlan_filtering", 0)),
                "addresses": [a["local"] for a in one.get("addr_info", ()) if a.get("local")],
            }
        )
    return found


def wwid(path: str) -> "str | None":
    """A block device's world-wide name, whatever path leads to it; null where it has none."""
    status = os.stat(path)
    block = os.path.realpath("/sys/dev/block/%d:%d" % (os.major(status.st_rdev), os.minor(status.st_rdev)))
    if os.path.exists(block + "/partition"):
        block = os.path.dirname(block)
    mapped = text(block + "/dm/uuid") or ""
    if mapped.startswith("mpath-"):
        return mapped[6:]
    if mapped:
        return mapped
    for name in ("device/wwid", "wwid", "device/serial", "serial"):
        told = (text(block + "/" + name) or "").strip()
        if told:
            return told
    return None


def devices(paths: "list[str]") -> "dict[str, dict[str, object]]":
    """Each device that the spec names: is it there, is it a block device, which one."""
    found: Dict[str, Dict[str, object]] = {}
    for path in paths:
        is_block = os.path.exists(path) and (os.stat(path).st_mode & 0o170000) == 0o060000
        found[path] = {
            "exists": os.path.exists(path),
            "block": is_block,
            "wwid": wwid(path) if is_block else None,
        }
    return found


def luns() -> "list[str]":
    """World-wide names of the disks that a storage network may show: SCSI disks and what multipath makes of them."""
    found = set()
    for block in glob.glob("/sys/block/sd*") + glob.glob("/sys/block/dm-*") + glob.glob("/sys/block/nvme*"):
        mapped = text(block + "/dm/uuid") or ""
        if mapped.startswith("mpath-"):
            found.add(mapped[6:])
        elif "/dm-" not in block:
            told = (text(block + "/device/wwid") or text(block + "/wwid") or "").strip()
            if told:
                found.add(told)
    return sorted(found)


def multipath() -> "dict[str, object] | None":
    """multipathd's maps and the state of their paths; null where multipathd is not installed."""
    code, out, _ = run(["multipathd", "show", "maps", "raw", "format", "%n|%w|%N"])
    if code is None:
        return None
    _, paths, _ = run(["multipathd", "show", "paths", "raw", "format", "%m|%d|%t|%T"])
    maps: Dict[str, Dict[str, Any]] = {}
    for line in out.splitlines():
        parts = [part.strip() for part in line.split("|")]
        if len(parts) == 3:
            maps[parts[0]] = {"name": parts[0], "wwid": parts[1], "paths": 0, "active": 0}
    for line in paths.splitlines():
        parts = [part.strip() for part in line.split("|")]
        if len(parts) == 4 and parts[0] in maps:
            maps[parts[0]]["paths"] += 1
            maps[parts[0]]["active"] += parts[2] == "active" and parts[3] == "ready"
    return {"answers": code == 0, "maps": [maps[name] for name in sorted(maps)]}


def iommu() -> "dict[str, int]":
    """How many IOMMU groups the kernel has made: none means that no device can be given to a guest."""
    try:
        return {"groups": len(os.listdir("/sys/kernel/iommu_groups"))}
    except OSError:
        return {"groups": 0}


def watchdogs() -> "list[dict[str, str]]":
    """Watchdog devices and what they say they are."""
    return [
        {"device": path, "identity": text("/sys/class/watchdog/%s/identity" % os.path.basename(path)) or ""}
        for path in sorted(glob.glob("/dev/watchdog*"))
    ]


def units() -> "dict[str, dict[str, object]] | None":
    """systemd's word on the units that matter, and what the drain unit and Pacemaker are ordered after."""
    names = ["LoadState", "ActiveState", "UnitFileState", "After", "TimeoutStopUSec"]
    argv = ["systemctl", "show", "--property=Id," + ",".join(names)]
    code, out, _ = run(argv + list(UNITS), 10.0)
    if code is None or not out.strip():
        return None
    found = {}
    for part in out.split("\n\n"):
        told = dict(line.split("=", 1) for line in part.splitlines() if "=" in line)
        name = told.get("Id", "")
        found[name] = {
            "loaded": told.get("LoadState") == "loaded",
            "active": told.get("ActiveState") in ("active", "activating", "reloading"),
            "enabled": told.get("UnitFileState", "").startswith("enabled"),
            "after": told.get("After", "").split() if name in ("hacluster-drain.service", "pacemaker.service") else [],
        }
    return found


def autostart() -> "list[str]":
    """Domains that libvirt starts by itself."""
    return sorted(os.path.basename(path)[:-4] for path in glob.glob("/etc/libvirt/qemu/autostart/*.xml"))


def starters() -> "list[dict[str, str]]":
    """Lines of crontabs, rc.local and the admin's own units that start guests, themselves or through their script."""
    places = glob.glob("/etc/cron.d/*") + glob.glob("/var/spool/cron/*") + glob.glob("/var/spool/cron/crontabs/*")
    places += glob.glob("/var/spool/cron/tabs/*") + ["/etc/crontab", "/etc/rc.local", "/etc/rc.d/rc.local"]
    places += [path for path in glob.glob("/etc/systemd/system/*.service") if not os.path.islink(path)]
    for often in ("hourly", "daily", "weekly", "monthly"):
        places += glob.glob("/etc/cron.%s/*" % often)
    found = []
    for path in sorted(set(places)):
        for count, line in enumerate((text(path) or "").splitlines(), 1):
            bare = line.strip()
            if not bare or bare.startswith("#"):
                continue
            if STARTS.search(bare):
                found.append({"where": "%s:%d" % (path, count), "text": bare[:200]})
                continue
            for script in re.findall(r"(?<![\w.$])(/[\w./+-]+)", bare):
                inside = text(script) if os.path.isfile(script) and os.path.getsize(script) < 1 << 18 else None
                hit = STARTS.search(inside) if inside and inside.startswith("#!") else None
                if hit:
                    said = "%s (which says: %s)" % (bare[:120], hit.group()[:80])
                    found.append({"where": "%s:%d" % (path, count), "text": said})
                    break
    return found


def synchronized() -> "bool | None":
    """Whether the clock is kept by somebody, as the kernel has it; null where nobody says."""
    code, out, _ = run(["timedatectl", "show", "--property=NTPSynchronized", "--value"])
    return {"yes": True, "no": False}.get(out.strip()) if code == 0 else None


def corosync_links() -> "dict[str, list[bool]] | None":
    """Corosync's word on its links by node id, where it runs: a list of whether each is connected."""
    code, out, _ = run(["corosync-cfgtool", "-n"])
    if code != 0:
        return None
    found: Dict[str, List[bool]] = {}
    ident = ""
    for line in out.splitlines():
        begins = re.match(r"nodeid:\s*(\d+)", line.strip())
        if begins:
            ident = begins.group(1)
            found[ident] = []
        elif ident and line.strip().startswith("LINK:"):
            found[ident].append("connected" in line and "disconnected" not in line)
    return found


def door(host: str, port: int) -> str:
    """What a TCP port of a peer does: open, refused (reachable, nobody listens), silent (filtered, or down)."""
    try:
        socket.create_connection((host, port), QUIET).close()
        return "open"
    except ConnectionRefusedError:
        return "refused"
    except socket.gaierror:
        return "no address"
    except OSError:
        return "silent"


def checksum(data: bytes) -> int:
    """The Internet checksum of RFC 1071."""
    total: int = sum(struct.unpack("!%dH" % (len(data) // 2), data))
    total = (total >> 16) + (total & 0xFFFF)
    return ~(total + (total >> 16)) & 0xFFFF


def echo(address: str, size: int) -> "bool | None":
    """Whether a packet of `size` bytes reaches an IPv4 address unfragmented and comes back; None: it cannot tell."""
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as raw:
            raw.setsockopt(socket.IPPROTO_IP, 10, 2)  # IP_MTU_DISCOVER, IP_PMTUDISC_DO: never fragmented
            mark = os.urandom(4)
            body = (mark + b"\0" * size)[: size - 28 & ~1]
            head = struct.pack("!BBH", 8, 0, checksum(struct.pack("!BBH", 8, 0, 0) + body))
            for _ in range(3):
                raw.sendto(head + body[: size - 24], (address, 0))
                until = time.time() + 1.0
                while True:
                    raw.settimeout(max(0.01, until - time.time()))
                    try:
                        answer = raw.recv(1 << 16)
                    except socket.timeout:
                        break
                    if answer[20] == 0 and answer[24:28] == mark:
                        return True
        return False
    except PermissionError:
        return None
    except OSError:
        return False


SSH = (
    ("host key is known for", "key unknown"),
    ("IDENTIFICATION HAS CHANGED", "key changed"),
    ("Permission denied", "login refused"),
    ("Could not resolve", "no address"),
    ("timed out", "silent"),
    ("No route", "silent"),
    ("refused", "refused"),
)


def ssh(host: str) -> "dict[str, str]":
    """One word on root's login to a peer, host key checked, and what ssh said."""
    options = ["-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes", "-o", "ConnectTimeout=4"]
    code, _, err = run(["ssh"] + options + ["root@" + host, "true"], 12.0)
    if code == 0:
        return {"word": "ok", "said": ""}
    said = err.strip()[-400:]
    return {"word": next((word for mark, word in SSH if mark in said), "failed"), "said": said}


def libvirt(uri: str) -> "dict[str, object]":
    """Whether a peer's libvirt answers here, and what virsh said if it does not."""
    code, _, err = run(["virsh", "-q", "-c", uri, "hostname"], 20.0)
    return {"ok": code == 0, "said": err.strip()[-400:]}


def peer(asked: "dict[str, Any]", own: "list[dict[str, Any]]") -> "dict[str, object]":
    """All that this host can tell of the way to one peer."""
    frames: Dict[str, Dict[str, object]] = {}
    for address in asked["addresses"]:
        try:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
                probe.connect((address, 9))
                source = probe.getsockname()[0]
        except OSError:
            frames[address] = {"mtu": None, "small": None, "full": None}
            continue
        mtu = next((link["mtu"] for link in own if source in link["addresses"]), None)
        small = echo(address, 64)
        full = echo(address, min(mtu, 65535)) if small and mtu else None
        frames[address] = {"mtu": mtu, "small": small, "full": full}
    return {
        "ssh": ssh(asked["ssh"]),
        "libvirt": libvirt(asked["uri"]),
        "ports": {str(port): door(asked["migration"], port) for port in asked["ports"]},
        "frames": frames,
    }


def peers(asked: "dict[str, Any]", own: "list[dict[str, Any]]") -> "dict[str, object]":
    """Each peer by its name, several at once."""
    with ThreadPoolExecutor(8) as pool:
        return dict(zip(asked, pool.map(lambda one: part(peer, one, own), asked.values())))


def part(ask: "Callable[..., Any]", *arguments: object) -> "Any":  # noqa: ANN401 - JSON of any shape
    """One part of the answer; None where asking for it failed, whatever it was."""
    try:
        return ask(*arguments)
    except Exception as error:  # noqa: BLE001 - a host of an unforeseen make still answers everything else
        sys.stderr.write("%s: %s: %s\n" % (ask.__name__, type(error).__name__, error))
        return None


def answer(asked: "dict[str, Any]") -> "dict[str, Any]":
    """The whole answer."""
    plain = (system, memory, versions, hypervisor, links, luns, multipath, iommu, watchdogs, units, autostart, starters)
    told = {one.__name__: part(one) for one in (*plain, synchronized, corosync_links)}
    told["devices"] = part(devices, asked["devices"])
    told["peers"] = part(peers, asked["peers"], told["links"] or [])
    told["format"] = FORMAT
    return told


if __name__ == "__main__":
    sys.stdout.write(json.dumps(answer(json.loads(sys.argv[1]))) + "\n")
