"""Metadata that follow from the address of the repository in `pyproject.toml`.

They are links to it, and those of the README, which an index shows elsewhere.
"""

import pathlib
import re

from hatchling.metadata.plugin.interface import MetadataHookInterface

LINK = re.compile(r"(\]\()(?!https?:|#)([^)\s]+\))")


class Links(MetadataHookInterface):
    """Fills in `urls` and `readme`."""

    def update(self, metadata):
        repository = self.config["repository"]
        metadata["urls"] = {
            "Repository": repository,
            "Issues": f"{repository}/issues",
            "Changes": f"{repository}/blob/main/CHANGELOG.md",
        }
        text = (pathlib.Path(self.root) / "README.md").read_text("utf-8")
        metadata["readme"] = {
            "content-type": "text/markdown",
            "text": absolute(text, f"{repository}/blob/v{metadata['version']}"),
        }


def absolute(text, address):
    """A text in Markdown whose links to files are links to an address."""
    blocks = re.split(r"(^```.*?^```$)", text, flags=re.M | re.S)  # code at odd places
    blocks[::2] = (LINK.sub(rf"\g<1>{address}/\g<2>", block) for block in blocks[::2])
    return "".join(blocks)
