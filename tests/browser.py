"""A real browser without a window: what a page looks like at a width, light or dark."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
PROBE = """<script>
addEventListener("load", () => {
  const root = document.documentElement, wide = [];
  for (const one of document.querySelectorAll("body *")) {
    const place = one.getBoundingClientRect();
    const scrolled = one.parentElement.closest(".scroll, .drawing, pre, svg, caption");
    if (place.width && place.right > root.clientWidth + 1 && !scrolled && one.tagName != "CAPTION")
      wide.push(one.tagName + " " + one.className + ": " + one.textContent.slice(0, 60));
  }
  const cut = [...document.querySelectorAll(".scroll")].filter(one => one.scrollWidth > one.clientWidth + 1);
  document.title = JSON.stringify({width: root.clientWidth, page: root.scrollWidth, wide: wide.slice(0, 5),
    cut: cut.map(one => one.textContent.slice(0, 60)), ink: getComputedStyle(document.body).color,
    ground: getComputedStyle(document.body).backgroundColor});
});
</script>"""


def find() -> str | None:
    """Return a Chromium that is there, or None."""
    return next((found for name in NAMES if (found := shutil.which(name))), None)


@dataclass(frozen=True)
class Look:
    """What a page measured of itself."""

    width: int
    """Of the window, pixels."""
    page: int
    """Of what is in it, pixels."""
    wide: list[str]
    """What stands beyond the right edge."""
    cut: list[str]
    """Tables that must be scrolled to be read."""
    ink: tuple[int, ...]
    ground: tuple[int, ...]

    @property
    def contrast(self) -> float:
        """Contrast of the text, 1 to 21, as WCAG 2 defines it."""
        light, dark = sorted((_luminance(self.ink), _luminance(self.ground)), reverse=True)
        return (light + 0.05) / (dark + 0.05)


def look(browser: str, page: Path, folder: Path, *, width: int, dark: bool = False) -> Look:
    """Open a copy of a page that measures itself."""
    said = ask(browser, page, folder, PROBE, width=width, dark=dark)
    return Look(**{**said, "ink": _rgb(said["ink"]), "ground": _rgb(said["ground"])})


def ask(
    browser: str, page: Path, folder: Path, probe: str, *, width: int = 1280, dark: bool = False
) -> dict[str, Any]:
    """Return what a script makes the title of a page: its policy, which forbids scripts, is taken out of a copy."""
    text = page.read_text("utf-8")
    bare = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", text)
    assert bare != text, "the page has no policy"
    copy = folder / f"{page.stem}-measured.html"
    copy.write_text(bare.replace("</head>", f"{probe}</head>"), "utf-8")
    done = subprocess.run(
        [
            browser, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder / 'profile'}",
            f"--window-size={width},1000", f"--blink-settings=preferredColorScheme={0 if dark else 1}",
            "--virtual-time-budget=5000", "--dump-dom", copy.as_uri(),
        ],
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    found = re.search(r"<title>(\{.*?\})</title>", done.stdout, flags=re.DOTALL)
    assert found, done.stderr[-2000:]
    said: dict[str, Any] = json.loads(found[1].replace("&quot;", '"').replace("&amp;", "&").replace("&lt;", "<"))
    return said


def _rgb(words: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", words)[:3])


def _luminance(colour: tuple[int, ...]) -> float:
    shares = [level / 255 for level in colour]
    linear = [share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4 for share in shares]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
