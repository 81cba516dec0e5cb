"""Clusters by hand, for tests of the CIB: small values in, no spec file needed."""

from __future__ import annotations

from hacluster import model


def nodes(count: int = 3, fencing: tuple[tuple[str, ...], ...] | None = None) -> tuple[model.Node, ...]:
    return tuple(
        model.Node(f"n{i}", i, (f"10.0.0.{i}",), fencing=((f"bmc-n{i}",),) if fencing is None else fencing)
        for i in range(1, count + 1)
    )


def bmc(node: str) -> model.FenceDevice:
    return model.FenceDevice(
        name=f"bmc-{node}",
        agent="fence_ipmilan",
        targets=(node,),
        parameters={
            "ip": f"bmc-{node}.example",
            "username": "ha",
            "lanplus": "1",
            "privlvl": "operator",
            "cipher": "3",
        },
        secrets={"password": model.SecretRef("file", f"/etc/hacluster/secrets/{node}")},
    )


def gfs2(name: str = "shared", volume_manager: str = "lvmlockd") -> model.Gfs2:
    return model.Gfs2(
        name=name,
        device=f"/dev/vg_{name}/lv_{name}",
        volume_group=f"vg_{name}",
        logical_volume=f"lv_{name}",
        mount=f"/kvm/{name}",
        lock_table=f"lab:{name}",
        volume_manager="clvmd" if volume_manager == "clvmd" else "lvmlockd",
        journals=3,
    )


def vm(name: str, *storages: str, **changes: object) -> model.Vm:
    number = sum(name.encode())
    values: dict[str, object] = {
        "name": name,
        "uuid": f"00000000-0000-4000-8000-{number:012x}",
        "domain_xml": f"<domain type='kvm'><name>{name}</name></domain>".encode(),
        "memory": 1 << 30,
        "vcpus": 1,
        "disks": (),
        "nics": (),
        "storages": tuple(sorted(storages)),
    }
    return model.Vm(**{**values, **changes})  # type: ignore[arg-type]  # a test names the fields it means


def cluster(**changes: object) -> model.Cluster:
    """Three nodes with a board each that nobody has to prove, one GFS2, and one VM on it; `changes` replace fields."""
    size = 3
    values: dict[str, object] = {
        "name": "lab",
        "nodes": nodes(size),
        "fence_devices": tuple(bmc(f"n{i}") for i in range(1, size + 1)),
        "storages": (gfs2(),),
        "vms": (vm("web", "shared"),),
        "fencing_proof": "waived",
    }
    return model.Cluster(**{**values, **changes})  # type: ignore[arg-type]  # as above
