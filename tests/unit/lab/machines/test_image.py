"""The image's key, and the kernel in it."""

import lzma
from pathlib import Path

import pytest

from hacluster.lab.machines import image
from hacluster.problems import Refused


def test_the_key_is_what_the_image_is_made_from(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    before = image.key()
    assert image.key() == before
    monkeypatch.setattr(image, "AT_HAND", ("something-else",))
    assert image.key() != before
    monkeypatch.undo()
    for name in ("early.sh", "customize.sh"):
        (tmp_path / name).write_text("# another way")
    monkeypatch.setattr(image, "ASSETS", tmp_path)
    assert image.key() != before


def test_the_cache_is_outside_of_the_repository(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert image.cache() == Path("/var/cache/hacluster/machines")
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert image.cache() == Path("/somewhere/hacluster/machines")


def test_the_kernel_is_found_in_its_wrapping() -> None:
    kernel = b"\x7fELF and so on" * 100
    assert image.unpacked(b"setup code" + lzma.compress(kernel) + b"trailer") == kernel


@pytest.mark.parametrize("wrapped", [b"no kernel at all", image.XZ + b"not xz"])
def test_what_is_no_kernel_is_refused(wrapped: bytes) -> None:
    with pytest.raises(Refused, match="HA751"):
        image.unpacked(wrapped)
