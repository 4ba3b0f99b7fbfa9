"""What every page has around it: a policy that the browser is told, a title, and nothing of either in the text."""

from __future__ import annotations

from html.parser import HTMLParser

from dualstream.pipeline.reporting.faces_page import _page as faces_page
from dualstream.pipeline.reporting.style import POLICY, html_page


class Seen(HTMLParser):
    """The policy, the title, and what a person reads."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.policy: str | None = None
        self.words = {"title": "", "style": "", "main": ""}
        self._inside: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        if found.get("http-equiv") == "Content-Security-Policy":
            self.policy = found.get("content")
        if tag != "meta":
            self._inside.append(tag)

    def handle_endtag(self, tag: str) -> None:
        while self._inside and self._inside.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        for place in (one for one in self._inside if one in self.words):
            self.words[place] += data
        assert data.isspace() or any(one in self.words for one in self._inside), data


def test_a_page_says_what_it_may_load_and_escapes_its_title() -> None:
    seen = Seen(html_page("a <b> & c", "<p>words</p>", css="p { margin:0 }"))
    assert seen.policy == POLICY and seen.words["title"] == "a <b> & c" and "words" in seen.words["main"]
    assert seen.words["style"].endswith("p { margin:0 }")
    assert Seen(html_page("t", "", policy="default-src 'self'")).policy == "default-src 'self'"


def test_the_page_of_faces_tells_the_browser_its_policy_and_does_not_print_it() -> None:
    seen = Seen(faces_page(["<section>one</section>"], "video <x>"))
    assert seen.policy == POLICY and "default-src" not in "".join(seen.words.values())
    assert seen.words["title"] == "Faces" and "Faces of the stream video <x>" in seen.words["main"]
    assert "one" in seen.words["main"]
