"""XML that others wrote, as an element: read without entities and network, so that it neither reaches out nor grows.

The bounds of libxml2 itself hold too (256 elements in one another, 10 MB of text in one node).
"""

from __future__ import annotations

from lxml import etree


def parse(content: bytes | str, *, encoding: str | None = None, bare: bool = False) -> etree._Element:
    """The root element of a document without DOCTYPE.

    `encoding` overrides what the document says of itself. `bare` leaves out comments, processing instructions and the
    blanks between elements. Raises ValueError with a sentence about what is wrong.
    """
    written = content if isinstance(content, bytes) else content.encode()
    if b"<!DOCTYPE" in written or b"<!ENTITY" in written:
        raise ValueError("it declares a DOCTYPE or entities")
    root = parse_declared(content, encoding=encoding, bare=bare)
    # A declaration in an encoding such as UTF-16 hides from the search above.
    if root.getroottree().docinfo.doctype:
        raise ValueError("it declares a DOCTYPE or entities")
    return root


def parse_declared(content: bytes | str, *, encoding: str | None = None, bare: bool = False) -> etree._Element:
    """The same of a document that may declare a DOCTYPE, as agents' metadata does: it is passed over."""
    parser = etree.XMLParser(
        encoding=encoding,
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        huge_tree=False,
        remove_blank_text=bare,
        remove_comments=bare,
        remove_pis=bare,
    )
    try:
        return etree.fromstring(content, parser)
    except (etree.XMLSyntaxError, ValueError, LookupError) as error:  # LookupError: an encoding that nobody knows
        raise ValueError(f"not well-formed: {error}") from error
