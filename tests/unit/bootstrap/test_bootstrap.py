"""From bare machines to a cluster, as its judges ask: twice; a node down; data on the LUN; killed anywhere."""

import pytest

from hacluster.bootstrap import machines as machines_step
from hacluster.bootstrap import membership, steps, storage
from hacluster.bootstrap.membership import CONF
from hacluster.cli.bootstrapping import all_steps
from hacluster.ports import NodeFile
from hacluster.problems import Refused
from tests.bare_machines import Killed, Lun, Machine, San
from tests.unit.bootstrap.conftest import SPEC, changes, machines, run, site_of


def state(hosts: dict[str, Machine]) -> object:
    """All that is on the machines, but for the one-time password."""
    san = next(iter(hosts.values())).san
    told = [
        (name, {p: c for p, c in host.files.items() if p != "/etc/shadow"}, host.packages, host.units, host.directories)
        for name, host in hosts.items()
    ]
    return told, san.lun


def test_bare_machines_become_a_cluster_with_its_storage(hosts: dict[str, Machine]) -> None:
    run(site_of(hosts))
    lun = hosts["n1"].san.lun
    assert (lun.group, lun.lock_type, lun.volumes) == ("vg", "dlm", {"lv": ("gfs2", "kvm:images")})
    for name, host in hosts.items():
        assert host.units["corosync.service"] == host.units["pacemaker.service"] == (True, True)
        assert host.units["dlm.service"] == host.units["lvmlockd.service"] == (False, False), "Pacemaker will run them"
        assert host.hostname == name
        assert host.files["/etc/hosts"][0].decode().count("10.0.1.") == 3
        assert "127.0.1.1" not in host.files["/etc/hosts"][0].decode()
    assert "ring1_addr: 10.0.2.3" in hosts["n2"].files[CONF][0].decode()


def test_a_second_run_changes_nothing(hosts: dict[str, Machine]) -> None:
    run(site_of(hosts))
    before = hosts["n1"].san.changed
    assert changes(run(site_of(hosts))) == []
    assert hosts["n1"].san.changed == before


def test_a_dry_run_changes_nothing_and_shows_all_that_a_run_then_does(hosts: dict[str, Machine]) -> None:
    site = site_of(hosts)
    foretold = changes(steps.plan(site, all_steps()))
    assert hosts["n1"].san.changed == 0
    done = changes(run(site))
    # What a step says before the ones before it have run may lack what only they bring, never the other way round.
    commands = [line for line in done if line.startswith("run ")]
    assert [line for line in commands if line not in foretold and "wipefs" in line] == []
    assert any("mkfs.gfs2" in line for line in foretold) and any(
        "pcs cluster setup" in line.replace("--request-timeout=300 ", "") for line in foretold
    )


def test_killed_anywhere_a_second_run_reaches_the_same_end() -> None:
    whole = machines()
    run(site_of(whole))
    total = whole["n1"].san.changed
    step = max(1, total // 60)
    for cut in [*range(0, total - 60, step), *range(max(0, total - 60), total)]:
        san = San(kill_after=cut)
        hosts = machines(san)
        with pytest.raises(Killed):
            run(site_of(hosts))
        san.kill_after = None
        run(site_of(hosts))
        assert state(hosts) == state(whole), f"killed after {cut} changes"
        assert changes(run(site_of(hosts))) == []


def test_with_one_node_down_nothing_is_changed(hosts: dict[str, Machine]) -> None:
    hosts["n2"].up = False
    with pytest.raises(Refused) as no:
        run(site_of(hosts))
    assert {(p.code, p.where) for p in no.value.problems} == {(steps.NO_ANSWER.code, "node n2")}
    assert hosts["n1"].san.changed == 0


@pytest.mark.parametrize(
    "lun",
    [
        Lun(signatures=[("ext4", "backup")]),
        Lun(signatures=[("gpt", ""), ("PMBR", "")]),
        Lun(dirty=True),
        Lun(signatures=[("LVM2_member", "")], group="theirs", volumes={"data": None}),
    ],
    ids=["ext4", "partitions", "unknown", "another group"],
)
def test_a_lun_with_data_is_refused_and_erased_only_by_its_code(lun: Lun) -> None:
    hosts = machines(San(lun))
    with pytest.raises(Refused) as no:
        run(site_of(hosts))
    assert [p.code for p in no.value.problems] == [storage.CARRIES_DATA.code]
    assert hosts["n1"].san.changed == 0
    run(site_of(hosts, accepted=frozenset({storage.CARRIES_DATA.code})))
    assert lun.volumes == {"lv": ("gfs2", "kvm:images")}


def test_what_was_found_is_named() -> None:
    hosts = machines(San(Lun(signatures=[("ext4", "backup")])))
    with pytest.raises(Refused) as no:
        run(site_of(hosts))
    problem = no.value.problems[0]
    assert "ext4" in problem.message and dict(problem.facts)["found"] == "ext4 at 0x218 (backup)"


def test_a_device_in_use_is_never_erased() -> None:
    hosts = machines(San(Lun(signatures=[("ext4", "")])))
    hosts["n3"].mounted = "/srv"
    with pytest.raises(Refused) as no:
        run(site_of(hosts, accepted=frozenset({storage.CARRIES_DATA.code})))
    assert [p.code for p in no.value.problems] == [storage.IN_USE.code]
    assert dict(no.value.problems[0].facts)["users"] == "n3: mounted on /srv"
    assert hosts["n1"].san.lun.signatures


@pytest.mark.parametrize(
    "content", [("gfs2", "other:images"), ("xfs", "srv"), ("", "")], ids=["gfs2", "xfs", "unknown"]
)
def test_what_lies_in_our_own_volume_is_never_erased(hosts: dict[str, Machine], content: tuple[str, str]) -> None:
    run(site_of(hosts))
    hosts["n1"].san.lun.volumes["lv"] = content
    with pytest.raises(Refused) as no:
        run(site_of(hosts, accepted=frozenset({storage.CARRIES_DATA.code})))
    assert [p.code for p in no.value.problems] == [storage.OTHER_FILE_SYSTEM.code]


def test_a_device_that_is_not_the_same_everywhere_is_refused(hosts: dict[str, Machine]) -> None:
    hosts["n2"].san = San(Lun(serial="another"))
    with pytest.raises(Refused) as no:
        steps.apply(site_of(hosts), all_steps(), lambda text: None)
    assert storage.NOT_ONE_LUN.code in [p.code for p in no.value.problems]


def test_a_device_that_a_node_does_not_see_is_refused(hosts: dict[str, Machine]) -> None:
    hosts["n3"].device = "/dev/sdx"
    with pytest.raises(Refused) as no:
        run(site_of(hosts))
    assert [p.code for p in no.value.problems] == [storage.NO_DEVICE.code]


def test_a_member_of_another_cluster_is_refused(hosts: dict[str, Machine]) -> None:
    conf = b"totem {\n cluster_name: theirs\n}\nnodelist {\n node {\n name: n2\n ring0_addr: 10.0.1.2\n }\n}\n"
    hosts["n2"].files[CONF] = (conf, 0o644)
    with pytest.raises(Refused) as no:
        run(site_of(hosts))
    assert [(p.code, p.where) for p in no.value.problems] == [(membership.OTHER_CLUSTER.code, "node n2")]
    assert hosts["n1"].san.changed == 0


def test_a_node_more_in_the_spec_than_in_the_cluster_is_refused(hosts: dict[str, Machine]) -> None:
    run(site_of(hosts))
    fourth = '\n[nodes.n4]\naddresses = ["10.0.1.4", "10.0.2.4"]\nfencing = ["ipmi-n1"]\n'
    hosts["n4"] = Machine("n4", hosts["n1"].san)
    with pytest.raises(Refused) as no:
        run(site_of(hosts, SPEC + fourth))
    assert membership.MEMBERS_DIFFER.code in {p.code for p in no.value.problems}
    assert "pcs cluster node add n4 addr=10.0.1.4 addr=10.0.2.4" in no.value.problems[0].remedy


@pytest.mark.parametrize(
    ("release", "code"),
    [
        (b'ID="rocky"\nVERSION_ID="9.4"\n', machines_step.UNTRIED.code),
        (b"ID=sles\nVERSION_ID=15.5\n", machines_step.UNTRIED.code),
        (b"ID=arch\n", machines_step.NO_NAMES.code),
    ],
)
def test_a_distribution_on_which_it_never_ran_is_refused(hosts: dict[str, Machine], release: bytes, code: str) -> None:
    hosts["n1"].files["/etc/os-release"] = (release, 0o644)
    with pytest.raises(Refused) as no:
        run(site_of(hosts))
    assert [p.code for p in no.value.problems] == [code]


def test_two_nodes_that_are_one_machine_are_refused(hosts: dict[str, Machine]) -> None:
    boot = "/proc/sys/kernel/random/boot_id"
    hosts["n3"].files[boot] = hosts["n1"].files[boot]
    with pytest.raises(Refused) as no:
        run(site_of(hosts))
    assert [(p.code, p.where) for p in no.value.problems] == [(machines_step.ONE_MACHINE.code, "node n3")]


def test_clocks_apart_and_no_time_service_are_refused_until_accepted(hosts: dict[str, Machine]) -> None:
    hosts["n1"].clock = 3600.0
    hosts["n2"].units.clear()
    with pytest.raises(Refused) as no:
        run(site_of(hosts))
    codes = frozenset(p.code for p in no.value.problems)
    assert codes == {machines_step.CLOCKS.code, machines_step.NO_TIME.code}
    run(site_of(hosts, accepted=codes))


def test_a_step_that_does_not_help_is_said(hosts: dict[str, Machine]) -> None:
    hosts["n2"]._ssh_keygen = lambda words, stdin: (0, b"")  # type: ignore[method-assign]
    with pytest.raises(Refused) as no:
        run(site_of(hosts))
    assert [(p.code, p.where) for p in no.value.problems] == [(steps.NOT_SO.code, "node n2")]


def test_a_command_that_fails_ends_it_and_says_which(hosts: dict[str, Machine]) -> None:
    hosts["n1"]._lvcreate = lambda words, stdin: (5, b"")  # type: ignore[method-assign]
    with pytest.raises(Refused) as no:
        run(site_of(hosts))
    problem = no.value.problems[0]
    assert problem.code == steps.FAILED.code and "lvcreate" in problem.message
    del hosts["n1"]._lvcreate
    run(site_of(hosts))
    assert hosts["n1"].units["dlm.service"] == (False, False), "what the failure left running is stopped"


def test_a_dlm_that_a_killed_run_left_is_stopped_and_nothing_else_done(hosts: dict[str, Machine]) -> None:
    run(site_of(hosts))
    for name in ("n2", "n3"):
        hosts[name].units["dlm.service"] = (False, True)
    assert changes(run(site_of(hosts))) == ["run systemctl stop dlm.service   # Pacemaker will run it"] * 2


def test_no_secret_is_shown_or_logged(hosts: dict[str, Machine]) -> None:
    told = run(site_of(hosts))
    password = hosts["n1"].files["/etc/shadow"][0].decode().strip().partition(":")[2]
    assert len(password) > 20
    shown = repr(told) + "".join(line for host in hosts.values() for line in host.log)
    assert password not in shown


def test_only_public_keys_leave_a_node(hosts: dict[str, Machine]) -> None:
    run(site_of(hosts))
    for name, host in hosts.items():
        others = [other for other in hosts if other != name]
        authorized = host.files["/root/.ssh/authorized_keys"][0].decode()
        assert all(f"KEY{other}" in authorized for other in others) and f"KEY{name}" not in authorized
        assert authorized.count('restrict,command="virt-ssh-helper qemu:///system",from="') == 2
        assert b"PRIVATE" not in b"".join(c for p, (c, _) in host.files.items() if p != "/root/.ssh/id_ed25519")


def test_an_admins_own_lines_stay(hosts: dict[str, Machine]) -> None:
    hosts["n1"].write(NodeFile("/root/.ssh/authorized_keys", b"ssh-rsa ADMIN me\n"))
    hosts["n1"].write(NodeFile("/etc/hosts", b"10.9.9.9 printer\n127.0.1.1 n1.example.org n1\n127.0.0.1 localhost\n"))
    run(site_of(hosts))
    assert hosts["n1"].files["/root/.ssh/authorized_keys"][0].startswith(b"ssh-rsa ADMIN me\n")
    assert hosts["n1"].files["/etc/hosts"][0].startswith(b"10.9.9.9 printer\n127.0.0.1 localhost\n")
