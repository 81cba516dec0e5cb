"""Secrets are read from where the spec says, and no error tells one."""

import os
from pathlib import Path

import pytest

from hacluster.edge.secret import NO_SECRET, READABLE_SECRET, LocalSecrets
from hacluster.problems import Refused


def secret(scheme: str, argument: str) -> str:
    return LocalSecrets().read(scheme, argument)


def test_a_file_without_its_final_line_end(tmp_path: Path) -> None:
    path = tmp_path / "pw"
    path.write_text("s3 cret\n")
    path.chmod(0o600)
    assert secret("file", str(path)) == "s3 cret"


def test_an_environment_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BMC_PASSWORD", "s3")
    assert secret("env", "BMC_PASSWORD") == "s3"


def test_a_commands_output_without_a_shell() -> None:
    assert secret("cmd", "printf %s '$HOME;x'") == "$HOME;x"


@pytest.mark.parametrize(
    ("scheme", "argument"),
    [
        ("file", "/nonexistent"),
        ("env", "NOT_SET_ANYWHERE"),
        ("cmd", "false"),
        ("cmd", "true"),
        ("cmd", "/nonexistent"),
        ("cmd", "an 'unclosed quote"),
    ],
)
def test_what_is_not_there_is_a_problem(scheme: str, argument: str) -> None:
    with pytest.raises(Refused) as refused:
        secret(scheme, argument)
    assert [p.code for p in refused.value.problems] == [NO_SECRET.code]


def test_a_file_that_everybody_can_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "pw"
    path.write_text("s3cret")
    path.chmod(0o644)
    with pytest.raises(Refused) as refused:
        secret("file", str(path))
    assert [p.code for p in refused.value.problems] == [READABLE_SECRET.code]


def test_a_failing_command_does_not_tell_what_it_had_printed() -> None:
    with pytest.raises(Refused) as refused:
        secret("cmd", "sh -c 'echo s3cret; echo why >&2; exit 1'")
    assert "why" in str(refused.value.problems)
    assert "echo s3cret" not in os.linesep.join(value for p in refused.value.problems for _, value in p.facts)
