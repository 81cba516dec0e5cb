"""The pure parts of bootstrap: editing files, distributions' names, corosync.conf, what changes show."""

import pytest

from hacluster import model
from hacluster.bootstrap import bridges, distributions, membership, naming
from hacluster.bootstrap.changes import CommandChange, FileChange
from hacluster.bootstrap.settings import assigned, with_block
from hacluster.cib import corosync
from hacluster.edge import host_keys
from tests.unit.bootstrap.conftest import SPEC, cluster_of

# --- editing --------------------------------------------------------------------------------------------------------


def test_a_block_is_written_once_and_changed_in_its_place() -> None:
    once = with_block("before\n", ["one"])
    assert with_block(once, ["one"]) == once
    assert with_block(once + "after\n", ["two"]) == once.replace("one", "two") + "after\n"
    assert with_block(once + "after\n", []) == "before\nafter\n"


def test_a_block_keeps_backslashes() -> None:
    once = with_block("", ["a"])
    assert r"\1\n" in with_block(once, [r"\1\n"])


@pytest.mark.parametrize(
    ("text", "wanted", "after"),
    [
        ("", {"a": "x"}, 'a = "x"\n'),
        ("b = 1", {"a": 2}, "b = 1\na = 2\n"),
        ('a = "x"\n', {"a": "x"}, 'a = "x"\n'),
        ("  a=1\nb = 2\na = 3\n", {"a": 4}, "a = 4\nb = 2\n"),
        ('# a thing\n#a = "old"\n#b = 1\n', {"a": "x"}, '# a thing\na = "x"\n#b = 1\n'),
        ("a = 1\nab = 2\n", {"a": None}, "ab = 2\n"),
        ("#a = 1\n", {"a": None}, "#a = 1\n"),
    ],
)
def test_a_setting_is_changed_where_it_stands(text: str, wanted: dict[str, str | int | None], after: str) -> None:
    assert assigned(text, wanted) == after
    assert assigned(after, wanted) == after


def test_the_hosts_file_has_every_node_and_no_loop() -> None:
    nodes = cluster_of().nodes
    text = "127.0.0.1 localhost\n127.0.1.1 n2.example.org n2 extra\n::1 localhost ip6-localhost\n10.0.0.9 nas\n"
    made = naming.hosts_file(text, nodes)
    assert made.splitlines()[:4] == [
        "127.0.0.1 localhost",
        "127.0.1.1\textra",
        "::1 localhost ip6-localhost",
        "10.0.0.9 nas",
    ]
    assert "10.0.1.2\tn2" in made
    assert naming.hosts_file(made, nodes) == made


# --- distributions: names of RHEL 9 and SLES 15 as data, for nothing was ever run there ------------------------------


@pytest.mark.parametrize(
    ("release", "title"),
    [
        ('ID=debian\nVERSION_ID="12"\n', "Debian 12"),
        ('ID="rhel"\nVERSION_ID="9.4"\n', "RHEL 9"),
        ('ID="almalinux"\nVERSION_ID="9.1"\n', "RHEL 9"),
        ('ID="sles"\nVERSION_ID="15.5"\n', "SLES 15"),
        ("ID=debian\nVERSION_ID=11\n", None),
        ("ID=arch\n", None),
        ("", None),
    ],
)
def test_a_distribution_is_known_by_its_os_release(release: str, title: str | None) -> None:
    found = distributions.of_release(release)
    assert (found and found.title) == title


def test_only_debian_is_called_tried() -> None:
    assert [each.title for each in distributions.DISTRIBUTIONS if each.tried] == ["Debian 12"]


@pytest.mark.parametrize("each", distributions.DISTRIBUTIONS, ids=lambda each: each.title)
def test_every_distribution_has_names_for_a_gfs2_cluster(each: distributions.Distribution) -> None:
    names = distributions.packages(each, distributions.needs(cluster_of()))
    assert {"corosync", "pacemaker", "pcs", "gfs2-utils", "lvm2-lockd", "ipmitool"} <= set(names)
    assert list(names) == sorted(set(names))


def test_sbd_is_installed_only_where_it_fences() -> None:
    """Debian's package makes corosync require sbd.service, so it must not come by itself."""
    assert "sbd" not in distributions.needs(cluster_of())
    sbd = SPEC.replace('agent = "fence_ipmilan"', 'agent = "fence_sbd"\ndevices = "/dev/sdz"', 1)
    for line in ('ip = "10.0.3.1"\n', "lanplus = true\n"):
        sbd = sbd.replace(line, "", 1)
    sbd = sbd.replace('username = "admin"\npassword = "file:/etc/hacluster/secrets/ipmi"\n', "", 1)
    assert "sbd" in distributions.needs(cluster_of(sbd))


# --- corosync.conf --------------------------------------------------------------------------------------------------


def test_our_own_corosync_conf_reads_as_ours() -> None:
    cluster = cluster_of()
    told = membership.read_conf(corosync.conf(cluster))
    assert told == membership.Conf(
        "kvm", {"n1": ("10.0.1.1", "10.0.2.1"), "n2": ("10.0.1.2", "10.0.2.2"), "n3": ("10.0.1.3", "10.0.2.3")}
    )


PCS = """totem {
    version: 2
    cluster_name: kvm
    transport: knet
    crypto_cipher: aes256
    crypto_hash: sha256
    cluster_uuid: 5e9c0a1f7b1e4cb29c
    interface {
        linknumber: 0
    }
}

nodelist {
    node {
        ring1_addr: 10.0.2.1
        ring0_addr: 10.0.1.1
        name: n1
        nodeid: 1
    }
}

quorum {
    provider: corosync_votequorum
}
"""


def test_what_pcs_writes_is_read() -> None:
    assert membership.read_conf(PCS) == membership.Conf("kvm", {"n1": ("10.0.1.1", "10.0.2.1")})


def test_the_setup_command_has_every_link_of_every_node() -> None:
    command = " ".join(membership.setup_command(cluster_of()))
    assert "setup kvm n1 addr=10.0.1.1 addr=10.0.2.1 n2 addr=10.0.1.2 addr=10.0.2.2 n3" in command
    assert command.endswith("transport knet")


# --- what is shown --------------------------------------------------------------------------------------------------


def test_a_bridge_with_and_without_an_interface() -> None:
    assert "master br0" in bridges.stanza(model.Network("lan", "br0", "eno2")) or "dev eno2 master" in bridges.stanza(
        model.Network("lan", "br0", "eno2")
    )
    assert "master" not in bridges.stanza(model.Network("lan", "br0", "none"))


def test_a_file_shows_its_diff_and_a_script_its_name() -> None:
    change = FileChange("n1", "/etc/hosts", b"a\n", b"b\n")
    assert (change.headline, change.diff().splitlines()[-2:]) == ("change /etc/hosts", ["-a", "+b"])
    command = CommandChange("n1", ("sh", "-c", "set -e; thing", "pcs host auth", "n 1"), "for it", stdin=b"SECRET")
    assert command.headline == "run pcs host auth 'n 1'   # for it"
    assert "SECRET" not in repr(command) + command.diff()


def test_a_fingerprint_is_that_of_ssh_keygen() -> None:
    # ssh-keygen -lf of this key, as OpenSSH 9.2 prints it.
    key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl comment"
    assert host_keys.fingerprint(key) == "SHA256:+DiY3wvvV6TuJJhbpZisF/zLDA0zPMSvHdkr4UvCOqU"
    assert host_keys.fingerprint("SHA256:+DiY3wvvV6TuJJhbpZisF/zLDA0zPMSvHdkr4UvCOqU").startswith("SHA256:+DiY")
