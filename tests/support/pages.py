"""A page of HTML, read as a browser would: its elements, their attributes, and their text."""

from dataclasses import dataclass, field
from html.parser import HTMLParser

_EMPTY = {"meta", "input", "link", "img", "br"}


@dataclass
class Element:
    """An element: its tag, its attributes, what is in it."""

    tag: str
    attributes: dict[str, str] = field(default_factory=dict)
    children: list = field(default_factory=list)

    @property
    def text(self):
        """All text in it, with single spaces."""
        parts = [child if isinstance(child, str) else child.text for child in self.children]
        return " ".join(" ".join(parts).split())

    @property
    def raw(self):
        """The text in it as it stands there."""
        return "".join(child if isinstance(child, str) else child.raw for child in self.children)

    def all(self, tag=None, **attributes):
        """List the elements within of a tag (or of any) that have these attributes, in the order of the page."""
        found = []
        for child in self.children:
            if isinstance(child, Element):
                has = all(wanted in child.attributes.get(name, "").split() for name, wanted in attributes.items())
                found += [child] if tag in (None, child.tag) and has else []
                found += child.all(tag, **attributes)
        return found

    def by_id(self, name):
        (found,) = [each for each in self.all() if each.attributes.get("id") == name]
        return found


class _Reader(HTMLParser):
    def __init__(self):
        super().__init__()
        self.root = Element("")
        self.open = [self.root]

    def handle_starttag(self, tag, attrs):
        element = Element(tag, {name: value or "" for name, value in attrs})
        self.open[-1].children.append(element)
        if tag not in _EMPTY:
            self.open.append(element)

    def handle_startendtag(self, tag, attrs):
        self.open[-1].children.append(Element(tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag):
        assert self.open[-1].tag == tag, f"</{tag}> ends <{self.open[-1].tag}>"
        self.open.pop()

    def handle_data(self, data):
        self.open[-1].children.append(data)


def read_page(text):
    """Return the root of a page; whatever is opened in it must be closed."""
    reader = _Reader()
    reader.feed(text)
    reader.close()
    assert len(reader.open) == 1
    return reader.root
