"""Checks the links of a built site: `python docs/_ext/links.py docs/_build`.

A link inside the site leads to a file that is there, and to an anchor in it. Of a link that leaves
it only the form is checked, since nothing is fetched: https and a host with a dot.
"""

from __future__ import annotations

import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

MADE = {"genindex.html", "search.html", "py-modindex.html", "404.html"}
"""Sphinx's own pages."""


class _Page(HTMLParser):
    """What a page leads to, and the anchors in it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.anchors: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        for name, value in attributes:
            if name == "id" and value:
                self.anchors.add(value)
            elif name in ("href", "src") and value and tag != "link":
                self.links.append(value)


def broken(site: Path) -> list[str]:
    """Each broken link of a built site: its page, the link, and what is wrong."""
    files = [file for file in sorted(site.rglob("*.html")) if file.name not in MADE]
    pages = {file: _Page(file.read_text(encoding="utf-8")) for file in files}
    found = []
    for file, page in pages.items():
        for link in dict.fromkeys(page.links):
            if fault := _fault(file, link, pages):
                found.append(f"{file.relative_to(site)}: {link}: {fault}")
    return found


def _fault(file: Path, link: str, pages: dict[Path, _Page]) -> str | None:
    parts = urlsplit(link)
    if parts.scheme or parts.netloc:
        if parts.scheme in ("data", "mailto"):
            return None
        form = parts.scheme == "https" and "." in parts.netloc
        return None if form else "neither inside the site nor https"
    target = file if not parts.path else (file.parent / unquote(parts.path)).resolve()
    if not target.is_file():
        return None if target.name in MADE else "there is no such file"
    anchor = unquote(parts.fragment)
    if anchor and target in pages and anchor not in pages[target].anchors:
        return "there is no such anchor"
    return None


def main() -> int:
    """The command line."""
    site = Path(sys.argv[1]).resolve()
    found = broken(site)
    print("\n".join(found) if found else "all links lead somewhere")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
