"""What nodes lack: content-addressed domain files, and secrets in the format that Pacemaker's own store has."""

import hashlib
import shutil
import subprocess
from pathlib import Path

import pytest

from hacluster.apply import delivery
from hacluster.model import Cluster, Node, Vm

XML = b"<domain type='kvm'><name>web</name></domain>"
DIGEST = hashlib.sha256(XML).hexdigest()
WEB = Vm("web", "u1", XML, 4 << 20, 1, (), (), ())
CLUSTER = Cluster("c", (Node("n1", 1, ("10.0.0.1",)),), vms=(WEB,))
PATH = f"/etc/hacluster/domains/web.{DIGEST[:16]}.xml"


def test_a_domain_file_is_named_after_its_content() -> None:
    assert delivery.domain_file(WEB).path == PATH
    assert delivery.domain_file(WEB).content == XML


def test_a_node_that_has_everything_lacks_nothing() -> None:
    files = delivery.wanted(CLUSTER, {("f1", "password"): "s3"})
    there = {file.path: file.content for file in files}
    assert delivery.lacking("n1", files, [Path(PATH).name], there).files == ()


def test_an_empty_node_lacks_all_and_a_changed_secret_is_lacking_again() -> None:
    files = delivery.wanted(CLUSTER, {("f1", "password"): "s3"})
    assert delivery.lacking("n1", files, [], {}).files == files
    old = {file.path: file.content for file in delivery.secret_files("f1", "password", "before")}
    lacks = delivery.lacking("n1", files, [Path(PATH).name], old)
    assert {file.kind for file in lacks.files} == {"secret"}


def test_another_version_of_a_domain_file_is_not_the_one_wanted() -> None:
    files = delivery.wanted(CLUSTER, {})
    assert delivery.lacking("n1", files, ["web.0000000000000000.xml"], {}).files == files


@pytest.mark.tools
@pytest.mark.skipif(not shutil.which("cibsecret"), reason="no cibsecret")
def test_a_stored_secret_is_what_pacemakers_own_tool_checks() -> None:
    """The tool's check: md5sum of the value as the shell reads it from the file, against the sign file."""
    value, sign = delivery.secret_files("f1", "password", "it's a $ecret ü")
    assert value.path == "/var/lib/pacemaker/lrm/secrets/f1/password"
    assert sign.path == value.path + ".sign"
    script = 'v=$(cat); printf "%s" "$v" | md5sum | awk \'{print $1}\''
    summed = subprocess.run(["sh", "-c", script], input=value.content, capture_output=True, check=True).stdout
    assert summed == sign.content
    assert value.content == "it's a $ecret ü\n".encode()
    assert delivery.SECRET_STORE in Path(str(shutil.which("cibsecret"))).read_text()


@pytest.mark.parametrize(
    ("value", "reason"),
    [("two\nlines", "line"), ("trailing ", "white space"), ("x" * 254, "longer"), ("ü" * 127, "longer")],
)
def test_a_secret_that_pacemaker_would_read_differently_is_a_problem_that_does_not_show_it(
    value: str, reason: str
) -> None:
    [problem] = delivery.secret_problems("fence_devices.f1.password", value)
    assert reason in problem.message
    assert value not in str(problem)


def test_a_secret_of_one_line_fits() -> None:
    assert list(delivery.secret_problems("x", " inner space ok")) == []


def test_obsolete_are_the_files_that_nothing_names() -> None:
    there = ["web.1111111111111111.xml", Path(PATH).name, "notes.txt"]
    assert delivery.obsolete(there, [PATH, ""]) == ("/etc/hacluster/domains/web.1111111111111111.xml",)
