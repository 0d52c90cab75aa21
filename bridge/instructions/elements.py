"""From an element of the parsed XML to a verb, by the verb's ``Spec``; what is wrong on the way becomes a finding.

Nothing here knows any single verb. A row of the table says where a value goes, a finding says what the tenant is told, and the verb is
made with what was good. Attributes with a namespace (xsi:noNamespaceSchemaLocation and the like) are for XML's own tools and passed over.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from lxml import etree

from waitline.bridge.instructions.attributes import Attribute, BadValue
from waitline.bridge.instructions.verbs import Spec, Verb

SCHEMA_WARNING = 12200

_SSML = frozenset(["break", "emphasis", "lang", "p", "phoneme", "prosody", "s", "say-as", "sub", "w"])
_SSML_SEPARATORS = frozenset({"break", "p", "s"})
_XML_NAMESPACE = "{"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something in a document that its tenant should be told, as a Notification."""

    code: int
    message: str
    line: int
    """From 1; 0 unknown"""
    fault: bool = False
    """A verb cannot be run as written; else a warning, and the document does what is left."""


class Reader:
    """Reads the elements of one document, and gathers findings and the names of what was dropped."""

    def __init__(self, base: str) -> None:
        self._base = base
        self.findings: list[Finding] = []
        self.dropped: list[str] = []

    def warn(self, message: str, element: etree._Element, *, code: int = SCHEMA_WARNING, fault: bool = False) -> None:
        self.findings.append(Finding(code=code, message=message, line=line_of(element), fault=fault))

    def drop(self, element: etree._Element, message: str, *, code: int = SCHEMA_WARNING) -> None:
        """Carry on without this element, and tell."""
        self.dropped.append(str(element.tag)[:64])
        self.warn(message, element, code=code)

    def check_root(self, root: etree._Element) -> None:
        """The root has no attributes and no text of its own."""
        for name in (str(key) for key in root.attrib if not str(key).startswith(_XML_NAMESPACE)):
            self.warn(f"<{root.tag}> has no attribute {name[:64]}", root)
        if _own_text(root).strip():
            self.warn(f"text in <{root.tag}> is outside any verb, and ignored", root)

    def verb(self, element: etree._Element, spec: Spec) -> Verb:
        """The verb of an element; never fails."""
        values: dict[str, Any] = {"line": line_of(element)}
        self._read_attributes(element, spec, values)
        self._read_text(element, spec, values)
        self._read_children(element, spec, values)
        return self._checked(spec.make(**values), spec, element)

    def _read_attributes(self, element: etree._Element, spec: Spec, values: dict[str, Any]) -> None:
        rows = {row.xml: row for row in spec.attributes}
        for key, text in element.attrib.items():
            name, value = str(key), str(text)
            if name in rows:
                self._read(rows[name], value, element, values)
            elif name not in spec.without_effect and not name.startswith(_XML_NAMESPACE):
                self._unused_attribute(element, spec, name, value)

    def _unused_attribute(self, element: etree._Element, spec: Spec, name: str, value: str) -> None:
        if name not in spec.unavailable:
            self.warn(f"<{element.tag}> has no attribute {name[:64]}", element)
        elif value.strip() not in spec.unavailable[name]:
            self.warn(f"the attribute {name} of <{element.tag}> is not available yet", element)

    def _read(self, row: Attribute, text: str, element: etree._Element, values: dict[str, Any]) -> None:
        try:
            values[row.field] = row.kind(text, self._base)
        except BadValue as error:
            if error.use is not None:
                values[row.field] = error.use
            self._bad(row, error, element, values)

    def _bad(self, row: Attribute, error: BadValue, element: etree._Element, values: dict[str, Any]) -> None:
        code = error.code or row.code
        if row.fault:
            values.setdefault("fault", code)
        where = f"{row.xml} of <{element.tag}>" if row.xml else f"<{element.tag}>"
        self.warn(f"{where}: {error}", element, code=code, fault=row.fault)

    def _read_text(self, element: etree._Element, spec: Spec, values: dict[str, Any]) -> None:
        text = "".join(_spoken(element)) if spec.ssml else _own_text(element)
        if spec.text is not None:
            self._read(spec.text, text, element, values)
        elif text.strip():
            self.warn(f"<{element.tag}> holds no text", element)

    def _read_children(self, element: etree._Element, spec: Spec, values: dict[str, Any]) -> None:
        found = [verb for child in element if (verb := self._child(child, element, spec)) is not None]
        if not found:
            return
        if spec.children_field == "children":
            values["children"] = tuple(found)
            return
        values[spec.children_field] = found[0]
        if len(found) > 1:
            self.warn(f"<{element.tag}> takes one <{found[0].name}>, the first is used", element)

    def _child(self, child: etree._Element, parent: etree._Element, spec: Spec) -> Verb | None:
        name = str(child.tag)
        if name in spec.children:
            return self.verb(child, spec.children[name])
        if name in spec.unavailable_children:
            self.warn(f"<{name}> in <{parent.tag}> is not available yet", child)
        elif name not in spec.ignored_children and not (spec.ssml and name in _SSML):
            self.warn(f"<{name[:64]}> cannot stand in <{parent.tag}>", child, code=spec.bad_child)
        return None

    def _checked(self, verb: Verb, spec: Spec, element: etree._Element) -> Verb:
        if (complaint := spec.check(verb)) is None:
            return verb
        message, fault = complaint
        self.warn(message, element, code=fault or SCHEMA_WARNING, fault=bool(fault))
        return replace(verb, fault=fault) if fault else verb


def line_of(element: etree._Element) -> int:
    """Line of an element, from 1; 0 unknown."""
    return int(getattr(element, "sourceline", None) or 0)  # the type stubs do not know that it is a number


def _own_text(element: etree._Element) -> str:
    return (element.text or "") + "".join(child.tail or "" for child in element)


def _spoken(element: etree._Element) -> Iterator[str]:
    """The text of an element with SSML in it: pauses and sentences become blanks, a substitution its alias."""
    yield element.text or ""
    for child in element:
        name = str(child.tag)
        if name in _SSML_SEPARATORS:
            yield " "
        if name == "sub" and child.get("alias"):
            yield str(child.get("alias"))
        elif name in _SSML:
            yield from _spoken(child)
        if name in _SSML_SEPARATORS:
            yield " "
        yield child.tail or ""
