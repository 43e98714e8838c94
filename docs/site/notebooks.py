"""Guides as notebooks: strings between the statements of a script are its prose."""

import ast
import base64
import hashlib
import logging
import os
import pathlib
import re
import tempfile

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

log = logging.getLogger("mkdocs.guides")
ROOT = pathlib.Path(__file__).parents[2]
CACHE = ROOT / ".cache" / "guides"

GUIDES = ROOT / "guides"

# A notebook behaves as the script that it was: arguments, nothing shown by itself, and
# the other guides beside it.
AS_A_SCRIPT = """
import sys
from IPython import get_ipython
sys.argv = {}
sys.path.insert(0, {!r})
get_ipython().ast_node_interactivity = "none"
"""


def is_prose(statement):
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    )


def header(text):
    """Markdown of `Title: ...`, `Description: ...` and what follows."""
    title = re.search(r"^Title: (.*)$", text, re.M)[1]
    described, _, rest = text.partition("\n\n")
    description = re.search(r"^Description: (.*)", described, re.S | re.M)[1]
    return f"# {title}\n\n{' '.join(description.split())}\n\n{rest.strip()}".strip()


def notebook(script):
    """The cells of a guide."""
    lines = script.splitlines()
    cells, start = [], 0

    def code(end):
        if source := "\n".join(lines[start:end]).strip():
            cells.append(nbformat.v4.new_code_cell(source))

    for statement in ast.parse(script).body:
        if is_prose(statement):
            code(statement.lineno - 1)
            start = statement.end_lineno
            text = statement.value.value.strip()
            cells.append(nbformat.v4.new_markdown_cell(text if cells else header(text)))
    code(len(lines))
    for number, cell in enumerate(cells):
        cell.id = f"cell-{number}"  # the same in every build
    return nbformat.v4.new_notebook(
        cells=cells,
        metadata={
            "kernelspec": {
                "name": "python3",
                "display_name": "Python 3",
                "language": "python",
            }
        },
    )


NOT_EXECUTED = (
    "**This guide was not executed:** its data set could not be downloaded when the "
    "site was built. `GUIDE_DATA=mnist.npz make docs` reads it from a file."
)


def execute(book, arguments):
    """Adds outputs. Pictures that a cell saves are outputs of the cell."""
    with tempfile.TemporaryDirectory() as folder:
        seen = {}

        def add_pictures(cell, **_):
            # In the order in which they were saved.
            saved = pathlib.Path(folder).glob("*.png")
            for path in sorted(saved, key=lambda path: path.stat().st_mtime_ns):
                data = path.read_bytes()
                if seen.get(path) != data:
                    seen[path] = data
                    picture = {
                        "image/png": base64.b64encode(data).decode(),
                        "text/plain": path.stem.replace("_", " "),
                    }
                    cell.outputs.append(nbformat.v4.new_output("display_data", picture))

        start = AS_A_SCRIPT.format(["guide.py", *arguments], str(GUIDES))
        book.cells.insert(0, nbformat.v4.new_code_cell(start))
        NotebookClient(
            book,
            timeout=None,
            coalesce_streams=True,
            on_cell_executed=add_pictures,
            record_timing=False,
            resources={"metadata": {"path": folder}},
        ).execute()
    del book.cells[0]
    for cell in book.cells:
        if cell.cell_type == "code":
            # What libraries log is no part of a guide.
            cell.outputs = [o for o in cell.outputs if o.get("name") != "stderr"]


def digest(script):
    """Changes with all that can change the outputs."""
    sources = sorted((ROOT / "keras_spiking").rglob("*.py"))
    imported = re.findall(r"^(?:from|import) (\w+)", script, re.M)
    sources += [path for path in GUIDES.glob("*.py") if path.stem in imported]
    parts = [script.encode(), *(path.read_bytes() for path in sources)]
    for name in ("KERAS_BACKEND", "KERAS_SPIKING_SHORT"):
        parts.append(os.environ.get(name, "").encode())
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:16]


def arguments_of(script):
    """`GUIDE_DATA` is a file that guides read in place of a download."""
    data = os.environ.get("GUIDE_DATA")
    return ["--data", os.path.abspath(data)] if data and '"--data"' in script else []


def wanted(name):
    """Whether `EXECUTE` asks for a guide: `1` for all, `0` for none, or names."""
    names = os.environ.get("EXECUTE", "1").replace(",", " ").split()
    return names == ["1"] or name in names


def with_outputs(name, script):
    """The notebook of a guide, with outputs if they are wanted or known already."""
    known = CACHE / f"{name}-{digest(script)}.ipynb"
    if known.exists():
        return nbformat.read(known, as_version=4)
    book = notebook(script)
    if wanted(name):
        log.info("Executing guides/%s.py", name)
        try:
            execute(book, arguments_of(script))
        except CellExecutionError as error:
            # What Keras says of downloads. Other errors end the build.
            if "URL fetch failure" not in str(error):
                raise
            log.info("guides/%s.py was not executed: no data", name)
            book = notebook(script)
            book.cells.insert(1, nbformat.v4.new_markdown_cell(NOT_EXECUTED))
            return book
        CACHE.mkdir(parents=True, exist_ok=True)
        for old in CACHE.glob(f"{name}-*.ipynb"):
            old.unlink()
        unfinished = known.with_suffix(".part")
        nbformat.write(book, unfinished)
        unfinished.rename(known)
    return book
