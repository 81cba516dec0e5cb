"""XML of others: what is refused, and what is left of it."""

from __future__ import annotations

import pytest

from hacluster import strict_xml

BOMB = '<!DOCTYPE a [<!ENTITY b "bbbbbbbbbb"><!ENTITY c "&b;&b;&b;">]><a>&c;</a>'


@pytest.mark.parametrize(
    "content",
    [BOMB, BOMB.encode(), BOMB.encode("utf-16"), b'<!DOCTYPE a SYSTEM "file:///etc/passwd"><a/>', b"<a>&lt</a>", b"",
     b'<?xml version="1.0" encoding="klingon"?><a/>', b"<a>" * 300 + b"</a>" * 300, b"\xff\xfe", "<a>\x00</a>"],
)  # fmt: skip
def test_what_reaches_out_grows_or_is_no_xml_is_refused(content: bytes | str) -> None:
    with pytest.raises(ValueError, match=r"it declares a DOCTYPE or entities|not well-formed"):
        strict_xml.parse(content)


def test_a_declared_doctype_is_passed_over_where_documents_have_one() -> None:
    root = strict_xml.parse_declared(b'<!DOCTYPE a SYSTEM "file:///etc/passwd"><a><b/></a>')
    assert [root.tag, *(child.tag for child in root)] == ["a", "b"]
    # An entity is left as it stands, and never becomes its text.
    assert "".join(strict_xml.parse_declared(BOMB.encode()).itertext()).strip("&c;") == ""


def test_bare_is_without_comments_instructions_and_blanks() -> None:
    content = b"<a>\n  <!-- c --><?p i?><b> t </b>\n</a>"
    assert len(strict_xml.parse(content)) == 3
    (child,) = strict_xml.parse(content, bare=True)
    assert (child.tag, child.text, child.tail) == ("b", " t ", None)


def test_an_encoding_that_is_told_counts_more_than_the_documents_own() -> None:
    assert strict_xml.parse('<?xml version="1.0" encoding="latin-1"?><a>ä</a>'.encode(), encoding="utf-8").text == "ä"
