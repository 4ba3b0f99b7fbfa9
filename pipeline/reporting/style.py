"""How every page looks, light and dark, from a phone to a wide screen; and what a page may load: nothing."""

from __future__ import annotations

from html import escape

from dualstream.pipeline.reporting.colours import variables

# No script, no network: the browser is told so too.
POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"

COLOURS = f"""
:root {{ {variables(dark=False)} }}
@media screen and (prefers-color-scheme:dark) {{ :root {{ {variables(dark=True)} }} }}
"""
"""Those of the classes, light and dark."""

CSS = """
:root { color-scheme:light dark; --ink:#1f2933; --muted:#5f6c7b; --line:#dde3ea; --soft:#f5f7fa; --ground:#fff;
  --blue:#2563a8; --orange:#c2621b; --red:#9a3b3b; --green:#2f7d4f; --purple:#7a4fa3; --grey:#98a3af;
  --warn:#8a5a00; --warnground:#fff6e0; --warnline:#e0a526; --badground:#fdf5f5; --bestground:#eef5fc;
  --on:#fff; --off:#10151a; --darkest:#10151a; --lightest:#fff }
@media screen and (prefers-color-scheme:dark) { :root { --ink:#e3e8ee; --muted:#9aa8b7; --line:#36414d;
  --soft:#1d242c; --ground:#14191f; --blue:#6aa8ea; --orange:#e9935a; --red:#e08b8b;
  --green:#6fc394; --purple:#b18adb;
  --grey:#7a8796; --warn:#f0c674; --warnground:#2e2614; --warnline:#a97c1e; --badground:#2a1d1f;
  --bestground:#1a2836; --on:#10151a; --off:#fff } }
* { box-sizing:border-box }
body { margin:0; font:16px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif;
  color:var(--ink); background:var(--ground) }
main { max-width:1240px; margin:0 auto; padding:2.2rem 1.4rem 4rem }
h1 { font-size:1.7rem; line-height:1.25; margin:0 0 .2rem; letter-spacing:-.01em; overflow-wrap:anywhere }
h2 { font-size:1.22rem; margin:2.6rem 0 .6rem; padding-top:1.1rem; border-top:1px solid var(--line);
  overflow-wrap:anywhere }
h3 { font-size:1rem; margin:1.6rem 0 .4rem }
p { margin:.4rem 0; max-width:76ch; overflow-wrap:anywhere }
.lead { color:var(--muted) }
.note { color:var(--muted); font-size:.84rem; max-width:100ch }
.cards { display:flex; flex-wrap:wrap; gap:.8rem; margin:1.4rem 0 }
.card { flex:1 1 12rem; border:1px solid var(--line); border-radius:10px; padding:.8rem 1rem;
  background:var(--soft); overflow-wrap:anywhere }
.card b { display:block; font-size:1.5rem; font-variant-numeric:tabular-nums; line-height:1.3 }
.card small { color:var(--muted); font-size:.82rem; display:block }
.warn { border-left:4px solid var(--warnline); background:var(--warnground); color:var(--warn);
  padding:.5rem .9rem; border-radius:0 8px 8px 0; margin:.5rem 0; overflow-wrap:anywhere }
.scroll { overflow-x:auto; margin:.6rem 0 }
table { border-collapse:collapse; font-size:.82rem; font-variant-numeric:tabular-nums; width:100% }
caption { position:absolute; width:1px; height:1px; overflow:hidden; clip-path:inset(50%) }
th,td { padding:.34rem .4rem; text-align:right; vertical-align:top; border-bottom:1px solid var(--line) }
thead th { font-weight:600; color:var(--muted); border-bottom:2px solid var(--line); vertical-align:bottom }
td { white-space:nowrap }
th:first-child,td:first-child { text-align:left; font-weight:600 }
th[scope=row] { min-width:8rem; overflow-wrap:anywhere }
td small { display:block; color:var(--muted); font-size:.76rem; font-weight:400; white-space:nowrap }
tr.majority th,tr.majority td { color:var(--red); background:var(--badground); font-weight:400 }
tr.last th,tr.last td { border-bottom:2px solid var(--grey) }
tr.failed th,tr.failed td { color:var(--muted); font-weight:400 }
tr.best th,tr.best td { background:var(--bestground) }
td.wide { text-align:left; white-space:normal; overflow-wrap:anywhere }
figure { margin:1rem 0 }
.drawing { overflow-x:auto }
.drawing svg { display:block; width:100%; height:auto }
figcaption { color:var(--muted); font-size:.84rem; max-width:86ch }
details { margin:.6rem 0; border:1px solid var(--line); border-radius:8px; padding:.5rem .9rem }
summary { cursor:pointer; font-weight:600 }
pre { background:var(--soft); padding:.8rem; border-radius:8px; overflow-x:auto; font-size:.8rem;
  line-height:1.4 }
dl { display:grid; grid-template-columns:minmax(8rem,max-content) 1fr; gap:.25rem 1.2rem; font-size:.9rem;
  margin:.6rem 0 }
dt { color:var(--muted); overflow-wrap:anywhere } dd { margin:0; overflow-wrap:anywhere }
.chip { display:inline-block; width:.7em; height:.7em; border-radius:2px; margin-right:.35em }
code { font-family:ui-monospace,"DejaVu Sans Mono",monospace; font-size:.86em }
@media screen and (min-width:641px) and (max-width:900px) { main { padding:2rem 1rem 3rem }
  table { font-size:.75rem } th,td { padding:.3rem .22rem } th[scope=row] { min-width:6rem } }
@media (max-width:640px) { main { padding:1.2rem .9rem 3rem } h1 { font-size:1.35rem }
  dl { display:block } dd { margin:0 0 .6rem }
  .drawing svg { min-width:38rem }
  .scroll th[scope=row],.scroll thead th:first-child { position:sticky; left:0; min-width:7rem; max-width:9rem;
    background:var(--ground) } }
@media print { main { max-width:none;
  padding:0 } h2,h3,summary { break-after:avoid } figure,table,dd { break-inside:avoid } }
"""


def html_page(title: str, body: str, *, css: str = "", policy: str = POLICY) -> str:
    """Return a whole page: what it may load, its title and styles, and `body`, which is HTML already.

    Parameters
    ----------
    title
        Text; it is escaped.
    body
        What stands in ``<main>``.
    css
        Styles of this page, behind those of every page.
    policy
        What it may load.
    """
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{CSS}{COLOURS}{css}</style>\n</head>\n<body>\n<main>\n{body}\n"
        "</main>\n</body>\n</html>\n"
    )
