"""docs/reference/, made of the docstrings: `make docs` writes it, and a test says where it is not what they say.

Sources are parsed: a signature is as it is declared, a field's text is the docstring under it.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import os
import re
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))

FOLDER = ROOT / "docs" / "reference"
MADE = "<!-- made by docs/make_reference.py from the docstrings: change those, and run `make docs` -->"
COLUMNS = 80  # of the commands' help

Names = dict[str, tuple[str, ...]]
"""Names by module, without ``dualstream.``."""

OPTIONS: Names = {
    "pipeline.options.corpus": ("ManifestOptions", "CheckOptions"),
    "pipeline.extraction.recipe": ("ExtractionOptions",),
    "pipeline.extraction.request": ("RunOptions",),
    "heads.variants.options": ("FitOptions",),
    "pipeline.options.heads": ("FitHeadOptions", "CompareOptions", "DiagnoseOptions"),
    "heads.diagnosis.options": ("DiagnosisOptions",),
    "pipeline.options.bundles": ("ExportOptions",),
    "pipeline.encoder_training.options": ("TrainOptions",),
}
RESULTS: Names = {
    "results": (
        *("ManifestResult", "CheckResult", "ExtractionResult", "RunResult", "ComparisonResult", "DiagnosisResult"),
        *("EvaluationResult", "ExportResult", "Result"),
    ),
    "predictor": ("ClipPrediction",),
    "pipeline.cache": ("Cache", "Stream", "Utterances"),
    "pipeline.errors": (
        *(
            "DualstreamError",
            "UsageError",
            "NoCacheError",
            "LockedError",
            "FingerprintMismatchError",
            "CorruptError",
        ),
    ),
}
EXTENSION: Names = {
    "features.encoder": (
        *("EncoderSpec", "EncoderOptions", "StreamFeatures", "VideoEncoder", "AudioEncoder", "TableEncoder"),
    ),
    "features.encoders.frozen": ("FrozenFrameEncoder",),
    "features.weights": ("fill", "WeightsRecord"),
    "features.trainable": ("TrainableEncoder", "prepare_frames", "cut_frames"),
    "features.windows": ("WindowPlan", "Sampling"),
    "heads.variants.module": ("Settings", "Batch", "Logits"),
    "heads.losses": ("Labels", "Loss"),
    "heads.diagnosis.causes": ("Cause", "remedied"),
    "heads.diagnosis.evidence": ("Evidence", "Intervention"),
    "heads.diagnosis.remedies": ("measured", "significant", "interval"),
    "pipeline.corpus.checks.registry": ("CheckedCorpus", "examines"),
    "pipeline.corpus.checks.findings": ("Case", "Finding", "Rule"),
    "pipeline.corpus.importers": ("named_clips",),
    "pipeline.corpus.labels": ("canonical_emotion", "sentiment_of"),
    "pipeline.corpus.manifest": ("Manifest", "ManifestError", "read_manifest", "write_manifest"),
    "pipeline.corpus.utterance": ("Utterance",),
}


def pages() -> dict[str, str]:
    """Return the text of every page of the reference by its name."""
    made = {
        "python.md": _page(
            "The Python functions", "`import dualstream`; see also [From Python](../python.md).", _face()
        ),
        "options.md": _page(
            "Options of the Python functions",
            "Keywords of the functions are the fields of these, `fit_head(..., epochs=20)`; on the command line "
            "they are written with dashes ([command_line.md](command_line.md)).",
            _entries(OPTIONS),
        ),
        "results.md": _page(
            "What functions return and raise",
            "Results are read like the JSON document that the command prints with `--json`.",
            _entries(RESULTS),
        ),
        "extension.md": _page(
            "What extensions are given and give",
            "One page for each kind of extension says how they go together: "
            "[encoder](../extend_encoder.md), [trainable encoder](../extend_trainable_encoder.md), "
            "[fusion variant](../extend_variant.md), [loss](../extend_loss.md), "
            "[importer](../extend_importer.md), [check](../extend_check.md), [cause](../extend_cause.md).",
            _entries(EXTENSION),
        ),
        "command_line.md": _page(
            "The commands",
            "What each command prints with `--help`; see also [The command line](../command_line.md).",
            _commands(),
        ),
    }
    titles = "".join(f"- [{text.splitlines()[2][2:]}]({name})\n" for name, text in made.items())
    return {"README.md": f"{MADE}\n\n# Reference\n\n{titles}", **made}


def main() -> None:
    """Write every page, and remove those that are no longer made."""
    FOLDER.mkdir(exist_ok=True)
    made = pages()
    for old in FOLDER.glob("*.md"):
        if old.name not in made:
            old.unlink()
    for name, text in made.items():
        (FOLDER / name).write_text(text, "utf-8")


def _page(title: str, lead: str, body: Iterator[str]) -> str:
    return f"{MADE}\n\n# {title}\n\n{lead}\n\n" + "\n".join(body).rstrip() + "\n"


def _face() -> Iterator[str]:
    import dualstream

    for name in dualstream.__all__:
        if name in dualstream._HOMES:
            yield from _entry(name, getattr(dualstream, name), f"dualstream.{name}")


def _entries(names: Names) -> Iterator[str]:
    for module, members in names.items():
        found = importlib.import_module(f"dualstream.{module}")
        for name in members:
            yield from _entry(name, getattr(found, name), f"dualstream.{module}.{name}")


def _commands() -> Iterator[str]:
    import typer
    from typer.testing import CliRunner

    from dualstream import cli

    group = typer.main.get_command(cli.app)
    assert isinstance(group, typer.core.TyperGroup)
    for name in group.commands:
        done = CliRunner().invoke(cli.app, [name, "--help"], env={"COLUMNS": str(COLUMNS), "NO_COLOR": "1"})
        if done.exit_code:
            raise RuntimeError(f"{name} --help ended with {done.exit_code}: {done.output}")
        yield f"## {name}\n\n```text\n{done.output.rstrip()}\n```\n"


def _entry(name: str, thing: Any, path: str) -> Iterator[str]:
    """Yield the section of a function, a class or an alias of a type."""
    yield f"## {name}\n"
    if inspect.isclass(thing):
        yield from _class(thing, path)
    elif inspect.isfunction(thing):
        yield f"```python\n{_signature(_tree(thing), path)}\n```\n"
        yield _markdown(inspect.getdoc(thing) or "")
    else:
        module = importlib.import_module(path.rpartition(".")[0])
        value, text = _assignments(ast.parse(inspect.getsource(module)).body)[name]
        yield f"```python\n{path} = {value}\n```\n\n{_markdown(text)}"


def _class(thing: type, path: str) -> Iterator[str]:
    tree = _tree(thing)
    assert isinstance(tree, ast.ClassDef)
    made = next((one for one in _functions(tree) if one.name == "__init__"), None)
    yield f"```python\n{_signature(made, path) if made else f'class {path}'}\n```\n"
    yield _markdown(inspect.getdoc(thing) or "")
    fields = "".join(_field(*one) for one in _fields(tree))
    if fields:
        yield fields
    for one in _functions(tree):
        text = ast.get_docstring(one)
        if text and not one.name.startswith("_"):
            is_property = any("property" in ast.unparse(each) for each in one.decorator_list)
            shown = f"{one.name}: {ast.unparse(one.returns)}" if is_property and one.returns else _signature(one)
            yield f"### {one.name}\n\n```python\n{shown}\n```\n\n{_markdown(text)}"


def _tree(thing: Any) -> ast.ClassDef | ast.FunctionDef:
    """Return the definition of a class or function, as it stands in its file."""
    (found,) = ast.parse(textwrap.dedent(inspect.getsource(thing))).body
    assert isinstance(found, (ast.ClassDef, ast.FunctionDef))
    return found


def _functions(tree: ast.ClassDef) -> list[ast.FunctionDef]:
    return [one for one in tree.body if isinstance(one, ast.FunctionDef)]


def _signature(tree: Any, path: str = "") -> str:
    """Return how a function is called, one argument a line where they don't fit in one."""
    arguments = tree.args
    if arguments.args and arguments.args[0].arg in ("self", "cls"):
        del arguments.args[0]
    returns = f" -> {ast.unparse(tree.returns)}" if tree.returns is not None and tree.name != "__init__" else ""
    name, text = path or tree.name, ast.unparse(arguments)
    if len(name) + len(text) + len(returns) + 2 <= COLUMNS:
        return f"{name}({text}){returns}"
    parts = [f"    {part},\n" for part in _split(text)]
    return f"{name}(\n{''.join(parts)}){returns}"


def _split(text: str) -> Iterator[str]:
    """Yield the parts of a list of arguments, cut at commas outside of brackets."""
    depth, begin = 0, 0
    for at, letter in enumerate(text):
        depth += (letter in "([{") - (letter in ")]}")
        if letter == "," and not depth:
            yield text[begin:at].strip()
            begin = at + 1
    yield text[begin:].strip()


def _fields(tree: ast.ClassDef) -> Iterator[tuple[str, str, str, str]]:
    """Yield name, type, default and docstring of each field that a class declares."""
    for one, after in zip(tree.body, [*tree.body[1:], None], strict=True):
        if isinstance(one, ast.AnnAssign) and isinstance(one.target, ast.Name) and one.target.id[0] != "_":
            default = "" if one.value is None else ast.unparse(one.value)
            yield one.target.id, _kind(one.annotation), default, _docstring(after)


def _kind(node: ast.expr) -> str:
    """Return a type as it is written, without what only the command line is told."""
    if isinstance(node, ast.Subscript) and ast.unparse(node.value) == "Annotated":
        assert isinstance(node.slice, ast.Tuple)
        plain, *notes = node.slice.elts
        kept = [one for one in notes if ast.unparse(one).partition("(")[0] not in ("Cli", "Group")]
        return f"Annotated[{', '.join(map(ast.unparse, [plain, *kept]))}]" if kept else ast.unparse(plain)
    return ast.unparse(node)


def _field(name: str, kind: str, default: str, text: str) -> str:
    shown = f"- `{name}: {kind}{f' = {default}' if default else ''}`"
    return f"{shown}  \n{textwrap.indent(_inline(text), '  ')}\n" if text else f"{shown}\n"


def _assignments(body: list[ast.stmt]) -> dict[str, tuple[str, str]]:
    """Return value and docstring of what a module assigns, by name."""
    return {
        target.id: (ast.unparse(one.value), _docstring(after))
        for one, after in zip(body, [*body[1:], None], strict=True)
        if isinstance(one, ast.Assign)
        for target in one.targets
        if isinstance(target, ast.Name)
    }


def _docstring(node: ast.stmt | None) -> str:
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
        return inspect.cleandoc(node.value.value)
    return ""


def _markdown(text: str) -> str:
    """Return a docstring in NumPy's style as Markdown: sections as paragraphs, their entries as lists."""
    lead, *rest = re.split(r"^(\w[\w ]*)\n-{3,}\n", text, flags=re.MULTILINE)
    parts = [_prose(lead)]
    for title, body in zip(rest[::2], rest[1::2], strict=True):
        parts.append(f"**{title}**\n")
        has_entries = re.search(r"^\S.*\n {4}\S", body, flags=re.MULTILINE)
        parts.append("".join(_listed(body)) if has_entries else _prose(body))
    return "\n".join(parts)


def _listed(body: str) -> Iterator[str]:
    for name, entry in re.findall(r"^(\S.*)\n((?:(?: {4}.*)?\n?)*)", body, flags=re.MULTILINE):
        yield f"- `{name.strip()}`: {_inline(' '.join(entry.split()))}\n"


def _prose(text: str) -> str:
    """Return paragraphs; what is indented stays as it is, a block of code."""
    return (
        "\n\n".join(_inline(part) if not part.startswith(" ") else part for part in text.strip("\n").split("\n\n"))
        + "\n"
    )


def _inline(text: str) -> str:
    return text.replace("``", "`")


if __name__ == "__main__":
    os.environ.pop("PYTHONPATH", None)
    main()
