"""The reference: a page for each public module, with all that its `__all__` names."""

import pathlib

import griffe
from mkdocs.structure.files import File

ROOT = pathlib.Path(__file__).parents[2]
SECTION = "API reference"  # in the navigation

# The pages of `layers`: folders of the package, in the order in which layers are used.
LAYERS = [
    "neurons",
    "encoders",
    "containers",
    "readouts",
    "synapses",
    "recurrent",
    "normalization",
    "regularization",
    "attention",
    "transforms",
]

PICTURES = (
    "\n\nPictures show a weak and a strong current, the membrane potential (before the "
    "reset, where there is one), and what comes out."
)


def public(module):
    return [str(name) for name in module.exports or []]


def folder_of(layer):
    _, _, folder, *others = layer.canonical_path.split(".")
    return folder if others and folder in LAYERS else "base classes"


def page(title, module, names, text):
    """One page: a table of what is on it, then item after item."""
    lines = [f"# {title}", "", text, "", "| | |", "|---|---|"]
    for name in names:
        docstring = module[name].docstring
        summary = docstring.value.split("\n\n")[0] if docstring else ""
        link = f"[`{name}`](#{module.path}.{name})"
        lines.append(f"| {link} | {' '.join(summary.split())} |")
    for name in names:
        lines += ["", f"::: {module.path}.{name}"]
        picture = f"pictures/reference/{module.name}.{name}.png"
        if (ROOT / "docs" / picture).exists():
            up = "../.." if module.name == "layers" else ".."
            lines += ["", f"![Picture of {name}]({up}/{picture})"]
    return "\n".join(lines) + "\n"


def pages_of_layers(module):
    names = sorted(public(module), key=str.lower)
    for folder in ["base classes", *LAYERS]:
        here = [name for name in names if folder_of(module[name]) == folder]
        text = "What layers are made of, yours included."
        if folder in LAYERS:
            text = module[folder].docstring.value
        if folder == "neurons":
            text += PICTURES
        title = f"{folder.capitalize()} in `{module.path}`"
        yield folder, page(title, module, here, text)


def pages():
    """`(section or None, title, Markdown)` of each page, in order."""
    package = griffe.load("keras_spiking", search_paths=[str(ROOT)])
    names = [name for name in public(package) if not name.startswith("__")]
    functions = [name for name in names if not package[name].is_module]
    if functions:
        text = package.docstring.value
        yield None, package.path, page(f"`{package.path}`", package, functions, text)
    for name in names:
        module = package[name]
        if not module.is_module:
            continue
        if name == "layers":
            for folder, markdown in pages_of_layers(module):
                yield name, folder, markdown
        else:
            title, text = f"`{module.path}`", module.docstring.value
            yield None, name, page(title, module, public(module), text)


def path_of(section, title):
    parts = ["docs", "reference", section, title]
    return "/".join(filter(None, parts)).replace(" ", "_") + ".md"


def on_config(config):
    entries, sections = [], {}
    for section, title, _ in pages():
        entry = {title: path_of(section, title)}
        if section is None:
            entries.append(entry)
        elif section in sections:
            sections[section].append(entry)
        else:
            sections[section] = [entry]
            entries.append({section: sections[section]})
    (place,) = (entry for entry in config.nav if SECTION in entry)
    place[SECTION] = entries
    return config


def on_files(files, config):
    for section, title, markdown in pages():
        file = File.generated(config, path_of(section, title), content=markdown)
        file.dest_uri = file.dest_uri.removeprefix("docs/")
        files.append(file)
    return files
