"""The error browser: one page that lists utterances by how much a stream misled the head, and a CSV of the same.

Nothing is loaded from outside: rows stand in the page as JSON, a small script of ours filters and sorts them, and
the browser is told by its digest to run that script and no other. What a file says is
put into the page as text only.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

from dualstream.pipeline.experiments.error_rows import ErrorRow
from dualstream.pipeline.reporting.colours import colours
from dualstream.pipeline.reporting.style import html_page
from dualstream.pipeline.storage.documents import replacing, write_bytes

STEM = "errors"
PROBABILITY = "probability of the label"
ORDERS = {"probability": "least probable label", "id": "utterance", "length": "shortest"}
"""What rows are put in order by beside the streams, and how that is called."""
NATS = (
    "Bars: what each stream said for the label (green) or against it (red), its Shapley value in nats of the "
    "label's logit. 'Alone': the answer of the same head where it is told of this stream only."
)
BOXES = "Pictures: the frame with the box of the face that the encoder saw, and that face beside it."

OWN_CSS = """
form { display:flex; flex-wrap:wrap; align-items:flex-end; gap:.6rem .9rem; margin:1.2rem 0; padding:.9rem 1rem;
  background:var(--soft);
  border:1px solid var(--line); border-radius:10px }
label { display:flex; flex-direction:column; font-size:.78rem; color:var(--muted); gap:.15rem }
select,input,button { font:inherit; font-size:.9rem; color:var(--ink); background:var(--ground);
  border:1px solid var(--line); border-radius:6px; padding:.3rem .45rem; max-width:12rem }
button { cursor:pointer; padding:.4rem .9rem }
#list td { vertical-align:middle }
#list td.text,#list th.text { text-align:left }
#list td.text { white-space:normal; overflow-wrap:anywhere }
#list td.named { white-space:nowrap } #list tr:focus { outline:2px solid var(--blue); outline-offset:-2px }
#list img { height:56px; border-radius:4px; display:block }
.wrong { color:var(--red); font-weight:600 } .right { color:var(--green) }
.bar { display:inline-block; width:5.2rem; height:.55rem; position:relative; background:var(--line);
  border-radius:3px; margin-left:.4rem; vertical-align:middle }
.bar i { position:absolute; top:0; bottom:0; border-radius:3px }
.against { background:var(--red) } .for { background:var(--green) }
td small { white-space:normal }
th button { all:unset; cursor:pointer; color:inherit } th button::after { content:' \\2195'; opacity:.45 }
th[aria-sort=ascending] button::after { content:' \\2191'; opacity:1 }
th[aria-sort=descending] button::after { content:' \\2193'; opacity:1 }
th button:focus-visible { outline:2px solid var(--blue); outline-offset:2px; border-radius:3px }
#none { padding:1.4rem 1rem; background:var(--soft); border-radius:10px }
@media print { #filters,#more { display:none } #list { break-inside:auto } #list tr { break-inside:avoid }
  th button { display:none } th[data-head]::after { content:attr(data-head) }
  .bar,.bar i,.chip { print-color-adjust:exact } }
@media screen and (max-width:720px) {
  #list thead { display:none } #list tr { display:block; border:1px solid var(--line); border-radius:10px;
    margin:.7rem 0; padding:.3rem .2rem } #list td { display:flex; align-items:center;
    text-align:right; border:0; padding:.2rem .6rem } #list td::before { content:attr(data-head);
    color:var(--muted); font-weight:400; text-align:left; margin-right:auto; padding-right:1rem }
  #list td.text { text-align:right }
  #list td { flex-wrap:wrap } #list td small { flex-basis:100% } }
"""

SCRIPT = """
'use strict';
const data = JSON.parse(document.getElementById('rows').textContent);
const form = document.getElementById('filters'), body = document.querySelector('#list tbody');
const more = document.getElementById('more'), count = document.getElementById('count');
const none = document.getElementById('none'), heads = document.querySelectorAll('#list th button');
const STEP = 100; let shown = 0, backwards = false;
let largest = 1e-9;
for (const r of data.rows) for (const one of r.streams) largest = Math.max(largest, Math.abs(one));
function cell(head, text, kind) {
  const td = document.createElement('td'); td.dataset.head = head; td.textContent = text;
  if (kind) td.className = kind; return td;
}
function chip(name) {
  const one = document.createElement('i'); one.className = 'chip';
  one.style.background = 'var(--' + data.colours[name] + ')'; return one;
}
function named(head, name, kind) {
  const td = cell(head, name, 'text named ' + kind); td.prepend(chip(name)); return td;
}
function bar(head, value) {
  const td = cell(head, (value < 0 ? '\\u2212' : '+') + Math.abs(value).toFixed(2));
  const box = document.createElement('span'), fill = document.createElement('i');
  const half = 50 * Math.min(1, Math.abs(value) / largest);
  box.className = 'bar'; fill.className = value < 0 ? 'against' : 'for';
  fill.style.width = half + '%'; fill.style.left = (value < 0 ? 50 - half : 50) + '%';
  box.append(fill); td.append(box); return td;
}
function line(r) {
  const tr = document.createElement('tr');
  if (data.pictures) {
    const td = cell('picture', ''); const jpeg = data.thumbnails[r.id];
    if (jpeg) {
      const img = document.createElement('img'); img.alt = r.id;
      img.src = 'data:image/jpeg;base64,' + jpeg; td.append(img);
    }
    tr.append(td);
  }
  const name = cell('utterance', r.id, 'text'), small = document.createElement('small');
  small.textContent = [r.split, r.speaker, r.time].filter(Boolean).join(', ') +
    (r.lacks.length ? '; lacks ' + r.lacks.join(', ') : '');
  name.append(small); tr.append(name);
  tr.append(named('label', r.label, ''), named('answer', r.answer, r.right ? 'right' : 'wrong'));
  tr.append(cell('probability of the label', r.probability.toFixed(2)));
  data.streams.forEach((stream, at) => { const td = bar(stream, r.streams[at]);
    const alone = document.createElement('small'), name = r.alone[at];
    alone.append('alone: ', chip(name), name); td.append(alone);
    tr.append(td); });
  tr.append(cell('misled by', r.misled || '\\u2013'));
  return tr;
}
function kept() {
  const want = Object.fromEntries(new FormData(form));
  const found = data.rows.filter(r => (!want.label || r.label === want.label) &&
    (!want.answer || r.answer === want.answer) && (!want.speaker || r.speaker === want.speaker) &&
    (!want.split || r.split === want.split) && (!want.misled || r.misled === want.misled) &&
    (!want.right || String(r.right) === want.right) &&
    (!want.find || r.id.toLowerCase().includes(want.find.toLowerCase())));
  const key = keys(want.by), way = backwards ? -1 : 1;
  return found.map(r => [key(r), r]).sort(([a], [b]) => way * (a < b ? -1 : a > b ? 1 : 0)).map(([, r]) => r);
}
function keys(by) {
  const at = data.streams.findIndex(name => by === 'stream:' + name);
  if (at >= 0) return r => r.streams[at];
  if (by === 'id') return r => r.id;
  if (by === 'probability') return r => r.probability;
  if (by === 'length') return r => r.seconds === null ? Infinity : r.seconds;
  return r => Math.min(...r.streams);
}
function asked() {
  const words = [...form.elements].filter(one => one.name && one.name !== 'by' && one.value).map(one =>
    one.labels[0].firstChild.textContent + ' ' + (one.selectedOptions ? one.selectedOptions[0].text : one.value));
  const by = form.elements.by.selectedOptions[0].text;
  return (words.length ? ': ' + words.join(', ') : '') + '; order: ' + by + (backwards ? ', backwards' : '');
}
let found = [];
function draw() {
  found = kept(); shown = 0; body.replaceChildren(); next();
  const by = form.elements.by.value;
  for (const one of heads) {
    if (one.dataset.by === by) one.parentElement.setAttribute('aria-sort', backwards ? 'descending' : 'ascending');
    else one.parentElement.removeAttribute('aria-sort');
  }
}
function next() {
  body.append(...found.slice(shown, shown + STEP).map(line)); shown = Math.min(found.length, shown + STEP);
  count.textContent = found.length + ' of ' + data.rows.length + ' utterances' + asked() +
    (found.length > shown ? ', the first ' + shown + ' are shown' : '');
  more.hidden = found.length <= shown; none.hidden = found.length > 0;
}
heads.forEach(one => one.addEventListener('click', () => {
  backwards = form.elements.by.value === one.dataset.by && !backwards;
  form.elements.by.value = one.dataset.by; draw();
}));
form.elements.by.addEventListener('change', () => { backwards = false; draw(); });
form.addEventListener('reset', () => { backwards = false; setTimeout(draw); });
document.querySelector('#none button').addEventListener('click', () => {
  form.reset(); form.elements.by.focus();
});
form.addEventListener('input', draw);
form.addEventListener('submit', event => event.preventDefault());
more.addEventListener('click', () => {
  const row = shown; next(); body.rows[row].tabIndex = -1; body.rows[row].focus();
});
draw();
"""


@dataclass(frozen=True)
class ErrorBrowser:
    """What the page shows."""

    title: str
    lead: str
    rows: Sequence[ErrorRow]
    """The most misled first."""
    streams: Sequence[str]
    notes: Sequence[str] = ()
    thumbnails: Mapping[str, bytes] = field(default_factory=dict)
    """JPEG by utterance id."""
    classes: Sequence[str] = ()
    """All names of the task, in the order of every other page; without them, those that occur, by name."""

    def write(self, folder: Path, stem: str = STEM) -> None:
        """Write the page and the CSV into a folder: errors.html and errors.csv, where no other `stem` is given."""
        write_bytes(folder / f"{stem}.html", self.html(stem).encode())
        write_csv(folder / f"{stem}.csv", self.rows, self.streams)

    def html(self, stem: str = STEM) -> str:
        """Return the page, with a link to the CSV beside it."""
        digest = base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()
        policy = f"default-src 'none'; style-src 'unsafe-inline'; img-src data:; script-src 'sha256-{digest}'"
        # a closing tag inside a string would end the element: < is written as JSON may write it
        rows = json.dumps(self._document(), ensure_ascii=False, allow_nan=False).replace("<", "\\u003c")
        heads = ["utterance", "label", "answer", PROBABILITY, *self.streams, "misled by"]
        heads = ["picture", *heads] if self.thumbnails else heads
        notes = "".join(f'<p class="note">{escape(text)}</p>' for text in self.notes)
        file = escape(f"{stem}.csv")
        notes += f'<p class="note"><a href="{file}">{file}</a> holds the same rows.</p>'
        body = (
            f'<h1>{escape(self.title)}</h1>\n<p class="lead">{escape(self.lead)}</p>\n{notes}\n'
            f'<form id="filters">{self._filters()}</form>\n<p class="note" id="count" aria-live="polite"></p>\n'
            '<div class="scroll"><table id="list"><thead><tr>'
            f"{''.join(_head(title, self.streams) for title in heads)}</tr></thead><tbody></tbody></table></div>\n"
            '<p id="none" hidden>No utterance fits these filters. <button type="button">Show all</button></p>\n'
            '<button id="more" type="button" hidden>Show more</button>\n'
            "<noscript><p>This list is drawn by a script; without one, read the CSV.</p></noscript>\n"
            f'<script type="application/json" id="rows">{rows}</script>\n<script>{SCRIPT}</script>'
        )
        return html_page(self.title, body, css=OWN_CSS, policy=policy)

    def _names(self) -> list[str]:
        """Return the names of the task, in their order; what occurs beside them by name."""
        occur = {name for row in self.rows for name in (row.label, row.answer, *row.alone.values())}
        return [*self.classes, *sorted(occur - set(self.classes))]

    def _filters(self) -> str:
        rows = self.rows
        choices = {
            "by": (
                "order",
                ["most misled", *(f"most misled by {name}" for name in self.streams), *ORDERS.values()],
                ["", *(f"stream:{name}" for name in self.streams), *ORDERS],
            ),
            "right": ("answer is", ["right or wrong", "wrong", "right"], ["", "false", "true"]),
            "label": _choice("label", (row.label for row in rows), self._names()),
            "answer": _choice("answered", (row.answer for row in rows), self._names()),
            "misled": _choice("misled by", (row.misled_by for row in rows), self.streams),
            "split": _choice("split", (row.split for row in rows), ("train", "dev", "test")),
            "speaker": _choice("speaker", (row.speaker for row in rows), ()),
        }
        parts = []
        for name, (title, words, values) in choices.items():
            options = "".join(
                f'<option value="{escape(value)}">{escape(word)}</option>'
                for word, value in zip(words, values, strict=True)
            )
            if len(words) > 1:
                parts.append(f'<label>{escape(title)}<select name="{name}">{options}</select></label>')
        return (
            "".join(parts)
            + '<label>id contains<input name="find" type="search"></label>'
            + '<button type="reset">Reset</button>'
        )

    def _document(self) -> dict[str, object]:
        thumbnails = {name: base64.b64encode(jpeg).decode("ascii") for name, jpeg in self.thumbnails.items()}
        inks = colours(self._names())
        rows = [
            {
                "id": row.id,
                "split": row.split,
                "speaker": row.speaker,
                "seconds": None if row.duration_s != row.duration_s else round(row.duration_s, 3),
                "time": "" if row.duration_s != row.duration_s else f"{row.duration_s:.2f}\N{NO-BREAK SPACE}s",
                "label": row.label,
                "answer": row.answer,
                "right": row.right,
                "probability": round(row.probability, 4),
                "streams": [round(row.streams[name], 4) for name in self.streams],
                "alone": [row.alone[name] for name in self.streams],
                "lacks": list(row.lacks),
                "misled": row.misled_by,
            }
            for row in self.rows
        ]
        return {
            "streams": list(self.streams),
            "pictures": bool(thumbnails),
            "thumbnails": thumbnails,
            "colours": {name: ink.name for name, ink in inks.items()},
            "rows": rows,
        }


def write_csv(path: Path, rows: Sequence[ErrorRow], streams: Sequence[str]) -> None:
    """Write one line for each utterance, in the order of the page."""
    header = ["id", "split", "speaker", "dialogue", "duration_s", "label", "answer", "probability", "misled_by"]
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([*header, *(f"{name}_nats" for name in streams), *(f"{name}_alone" for name in streams)])
        for row in rows:
            writer.writerow(
                [getattr(row, key) for key in header]
                + [row.streams[name] for name in streams]
                + [row.alone[name] for name in streams]
            )


def _head(title: str, streams: Sequence[str]) -> str:
    kind = ' class="text"' if title in ("utterance", "label", "answer") else ""
    order = f"stream:{title}" if title in streams else {"utterance": "id", PROBABILITY: "probability"}.get(title)
    words = escape(title)
    if order is not None:
        kind += f' data-head="{words}"'
        words = f'<button type="button" data-by="{escape(order)}" title="sort">{words}</button>'
    return f'<th scope="col"{kind}>{words}</th>'


def _choice(title: str, values: Iterable[str], order: Sequence[str]) -> tuple[str, list[str], list[str]]:
    """Return a filter of the values that occur, in an order, then by name; without one, where all are the same."""
    occur = {value for value in values if value}
    found = [*(one for one in order if one in occur), *sorted(occur - set(order))]
    return (title, ["any", *found], ["", *found]) if len(found) > 1 else (title, ["any"], [""])
