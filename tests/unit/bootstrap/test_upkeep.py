"""Growing, journals and checks of a GFS2: which commands, in which order, and when none."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field

from hacluster import model
from hacluster.bootstrap import upkeep
from hacluster.bootstrap.changes import CommandChange
from hacluster.bootstrap.steps import Looked, Site
from hacluster.ports import Completed, NodeFile
from tests.unit.bootstrap.conftest import SPEC, cluster_of

GIB = 1 << 30
EXTENT = 4 << 20
ONLINE = b'<crm_mon><current_dc with_quorum="true"/>' + b'<node online="true"/>' * 3 + b"</crm_mon>"


@dataclass
class Scripted:
    """A node that answers as it was told: sizes in bytes, journals, who has files open."""

    name: str
    device: int = 3 * GIB
    physical: int = 3 * GIB - EXTENT
    free: int = 0
    volume: int = 3 * GIB - EXTENT
    size: int = 3 * GIB - (100 << 20)
    avail: int = GIB
    journals: int = 3
    mounted: bool = True
    open: str = ""
    crm: bytes = ONLINE
    ran: list[str] = field(default_factory=list)

    def read(self, path: str) -> bytes | None:
        raise AssertionError(path)

    def write(self, *files: NodeFile) -> None:
        raise AssertionError(files)

    def remove(self, path: str) -> None:
        raise AssertionError(path)

    def run(self, argv: Sequence[str], *, stdin: bytes = b"", deadline: float = 120.0) -> Completed:
        word = argv[3] if argv[0] == "sh" else argv[0]
        self.ran.append(word)
        pv = {"dev_size": self.device, "pv_size": self.physical, "vg_free": self.free, "vg_extent_size": EXTENT}
        answers = {
            "pvs": json.dumps({"report": [{"pv": [{k: str(v) for k, v in pv.items()}]}]}).encode(),
            "lvs": json.dumps({"report": [{"lv": [{"lv_size": str(self.volume)}]}]}).encode(),
            "df": f"word\n{self.size if '--output=size' in argv else self.avail}\n".encode(),
            "crm_mon": self.crm,
            "gfs2_edit": b"Block #Journal Status: of 9 (0x9)\n"
            + b"".join(b"journal%d: 0x1 32MB\n" % n for n in range(self.journals)),
            "open files": self.open.encode(),
        }
        if word == "findmnt":
            return Completed(0 if self.mounted else 1, b"", b"")
        return Completed(0, answers[word], b"")


def site(text: str = SPEC, **given: object) -> Site:
    hosts = {name: Scripted(name, **given) for name in ("n1", "n2", "n3")}  # type: ignore[arg-type]
    return Site(cluster_of(text), hosts)


def gfs2(text: str = SPEC) -> model.Gfs2:
    (found,) = cluster_of(text).storages
    assert isinstance(found, model.Gfs2)
    return found


def commands(looked: Looked) -> list[str]:
    return [f"{c.node}: {c.command}" for c in looked.changes if isinstance(c, CommandChange)]


def codes(looked: Looked) -> list[str]:
    return [problem.code for problem in looked.problems]


def test_nothing_grows_where_nothing_is_larger() -> None:
    assert upkeep.Grow(gfs2()).look(site()) == Looked()


def test_a_larger_device_grows_everything_upon_it() -> None:
    assert commands(upkeep.Grow(gfs2()).look(site(device=4 * GIB))) == [
        "n1: pvresize /dev/disk/by-id/shared",
        "n1: lvextend --extents +100%FREE vg/lv",
        "n2: lvchange --refresh vg/lv",
        "n3: lvchange --refresh vg/lv",
        "n1: gfs2_grow /kvm/images",
    ]


def test_an_interrupted_growth_goes_on_where_it_was() -> None:
    after_pvresize = site(device=4 * GIB, physical=4 * GIB - EXTENT, free=GIB)
    assert commands(upkeep.Grow(gfs2()).look(after_pvresize))[0] == "n1: lvextend --extents +100%FREE vg/lv"
    after_lvextend = site(device=4 * GIB, physical=4 * GIB - EXTENT, volume=4 * GIB - EXTENT)
    assert commands(upkeep.Grow(gfs2()).look(after_lvextend)) == ["n1: gfs2_grow /kvm/images"]


def test_a_node_without_the_mount_stops_it() -> None:
    broken = site(device=4 * GIB)
    broken.hosts["n2"].mounted = False  # type: ignore[attr-defined]
    for step in (upkeep.Grow(gfs2()), upkeep.AddJournals(gfs2())):
        looked = step.look(broken)
        assert (codes(looked), looked.changes) == ([upkeep.NOT_MOUNTED.code], ())
        assert "n2" in looked.problems[0].message


def test_a_node_that_is_away_or_no_quorum_stops_it() -> None:
    away = ONLINE.replace(b'online="true"', b'online="false"', 1)
    for crm in (away, ONLINE.replace(b'with_quorum="true"', b'with_quorum="false"')):
        for step in (upkeep.Grow(gfs2()), upkeep.AddJournals(gfs2()), upkeep.Check(gfs2(), "fs-clone")):
            assert codes(step.look(site(crm=crm, device=4 * GIB))) == [upkeep.NO_QUORUM.code]


def test_journals_are_added_up_to_the_specs_number() -> None:
    assert upkeep.AddJournals(gfs2()).look(site()) == Looked()
    assert commands(upkeep.AddJournals(gfs2()).look(site(journals=1))) == ["n1: gfs2_jadd -j 2 -J 32 /kvm/images"]


def test_journals_without_room_are_refused() -> None:
    assert codes(upkeep.AddJournals(gfs2()).look(site(journals=1, avail=60 << 20))) == [upkeep.NO_ROOM.code]


def test_a_check_takes_it_down_through_pacemaker_and_brings_it_back() -> None:
    assert commands(upkeep.Check(gfs2(), "fs-clone").look(site())) == [
        "n1: pcs resource disable fs-clone --wait=600",
        "n1: fsck.gfs2 -y /dev/vg/lv",
        "n1: pcs resource enable fs-clone --wait=600",
    ]


def test_a_file_system_with_open_files_is_not_checked() -> None:
    used = site()
    used.hosts["n3"].open = "411\n412\n"  # type: ignore[attr-defined]
    looked = upkeep.Check(gfs2(), "fs-clone").look(used)
    assert (codes(looked), looked.changes) == ([upkeep.IN_USE.code], ())
    assert dict(looked.problems[0].facts) == {"n3": "processes 411 412"}
