"""Docstrings in Keras's style, for the parser of Google's style."""

import re

import griffe

# Sections that Google's style does not have, or has with indentation only.
SECTION = re.compile(
    r"^(Call arguments|Input shape|Output shape|Returns|References):\n"
    r"((?:    .*\n?|\n)+)",
    re.M,
)
EXAMPLE = re.compile(r"^>>> .*(?:\n.+)*", re.M)
ARGUMENT = re.compile(r"^(\*{0,2}\w+): ", re.M)


def section(match):
    title, body = match.groups()
    body = re.sub(r"^    ", "", body, flags=re.M).strip()
    if title == "Call arguments":
        body = ARGUMENT.sub(r"- `\1`: ", body)
    return f"**{title}:**\n\n{body}\n\n"


def to_google(text):
    """Headings for the sections of Keras, fences around examples."""
    text = SECTION.sub(section, text + "\n")
    text = re.sub(r"^(Examples?:)\n", r"**\1**\n", text, flags=re.M)
    return EXAMPLE.sub(lambda found: f"```pycon\n{found[0]}\n```", text).strip()


class KerasDocstrings(griffe.Extension):
    def on_object(self, *, obj, **kwargs):
        if obj.docstring:
            obj.docstring.value = to_google(obj.docstring.value)
