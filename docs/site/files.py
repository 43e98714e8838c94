"""The files of the site are those of the repository, under the same paths.

So a link in Markdown leads to the same place here and where the repository is browsed.
"""

import pathlib

from mkdocs.plugins import event_priority
from mkdocs.structure.files import File

ROOT = pathlib.Path(__file__).parents[2]
SHOWN = [
    "*.md",
    "LICENSE",
    "benchmarks/*.py",
    "benchmarks/*.sh",
    "benchmarks/results/*",
    "docs/*.md",
    "docs/pictures/**/*",
    "docs/style.css",
    "recipes/**/*",
]


def file(path, config):
    shown = File(path, str(ROOT), config.site_dir, config.use_directory_urls)
    # `docs/` is the start of the site, and the README is not its first page.
    destination = shown.dest_uri.removeprefix("docs/")
    if path == "README.md":
        destination = "readme/index.html"
    shown.dest_uri = destination
    return shown


@event_priority(100)
def on_files(files, config):
    theirs = pathlib.Path(config.docs_dir)
    for found in list(files):
        if found.src_dir and pathlib.Path(found.src_dir) == theirs:
            files.remove(found)
    for pattern in SHOWN:
        for path in filter(pathlib.Path.is_file, sorted(ROOT.glob(pattern))):
            files.append(file(path.relative_to(ROOT).as_posix(), config))
    return files
