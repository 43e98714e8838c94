"""Each guide is a page, a notebook and a script."""

import base64
import importlib.util
import itertools
import pathlib
import re

import nbformat
from mkdocs.structure.files import File

HERE = pathlib.Path(__file__).parent
ROOT = HERE.parents[1]


def load(name):
    # MkDocs loads hooks one by one, from files.
    spec = importlib.util.spec_from_file_location(name, HERE / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


notebooks = load("notebooks")


class Guide(File):
    """A script that is a page."""

    def is_documentation_page(self):
        return True


def is_picture(output):
    return "image/png" in output.get("data", {})


def text_of(output):
    """What was printed, or displayed as `model.summary()` is, without its colours."""
    is_printed = output.output_type == "stream"
    text = output.text if is_printed else output.data["text/plain"]
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


def page(name, book):
    """Markdown of a notebook, and the pictures in it."""
    title, *others = book.cells
    parts, pictures = [title.source], []
    parts.append(
        f"[Notebook]({name}.ipynb){{ .md-button download }} "
        f"[Script](scripts/{name}.py){{ .md-button download }}"
    )
    for cell in others:
        if cell.cell_type == "markdown":
            parts.append(cell.source)
            continue
        parts.append(f"```python\n{cell.source}\n```")
        for are_pictures, outputs in itertools.groupby(cell.outputs, is_picture):
            if not are_pictures:
                text = "".join(map(text_of, outputs)).rstrip()
                parts.append(f"```{{ .text .output }}\n{text}\n```")
                continue
            for output in outputs:
                path = f"{name}-{len(pictures) + 1}.png"
                pictures.append((path, base64.b64decode(output.data["image/png"])))
                parts.append(f"![{output.data['text/plain']}]({path})")
    return "\n\n".join(parts), pictures


def on_files(files, config):
    def add(path, content):
        files.append(File.generated(config, path, content=content))

    for script in sorted((ROOT / "guides").glob("*.py")):
        name, text = script.stem, script.read_text("utf-8")
        book = notebooks.with_outputs(name, text)
        markdown, pictures = page(name, book)
        directory_urls = config.use_directory_urls
        guide = Guide(f"guides/{name}.py", str(ROOT), config.site_dir, directory_urls)
        guide.content_string = markdown
        files.append(guide)
        add(f"guides/{name}.ipynb", nbformat.writes(book))
        add(f"guides/scripts/{name}.py", text)
        for path, data in pictures:
            add(f"guides/{path}", data)
    return files
