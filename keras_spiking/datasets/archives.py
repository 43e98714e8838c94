"""Archives that the user downloaded: verified, then unpacked once."""

import hashlib
import os
import pathlib
import shutil
import tempfile


def unpacked(folder, archives, needed=None):
    """The folders with the contents of archives, unpacking them where necessary.

    Args:
        folder: Path of the folder with the downloaded files.
        archives: Dictionary from the name of an archive to its MD5 checksum.
        needed: Names of the archives that are needed. Defaults to all.

    Returns:
        A list of paths: the folder itself, for those who unpacked by themselves,
        and one below `folder/unpacked` for each archive that is there.

    Raises:
        ValueError: if the folder does not exist, or a checksum does not match.
    """
    folder = pathlib.Path(folder).expanduser()
    if not folder.is_dir():
        raise ValueError(
            f"The folder {str(folder)!r} does not exist. Download the files named in "
            "the loader's documentation into it."
        )
    roots = [folder]
    for name in archives if needed is None else needed:
        target = folder / "unpacked" / name
        if not target.exists() and (folder / name).exists():
            _check(folder / name, archives[name])
            _unpack(folder / name, target)
        if target.exists():
            roots.append(target)
    return roots


def find_folder(roots, names):
    """The first folder below `roots` that contains all `names`.

    Raises:
        ValueError: if there is none.
    """
    for root in roots:
        for folder in (root, *sorted(p for p in root.glob("*/") if p.is_dir())):
            if all((folder / name).exists() for name in names):
                return folder
    raise ValueError(
        f"{str(roots[0])!r} does not contain the dataset: neither its archives nor "
        f"{', '.join(names)}. See the loader's documentation for the files."
    )


def _check(path, expected):
    if expected is None:
        return
    digest = hashlib.md5(usedforsecurity=False)
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    if digest.hexdigest() != expected:
        raise ValueError(
            f"The checksum of {str(path)!r} is {digest.hexdigest()}, not {expected}: "
            "the download is incomplete or another version. Download it again."
        )


def _unpack(archive, target):
    """Unpacks into a temporary folder that gets its name when it is complete."""
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = tempfile.mkdtemp(prefix=".part-", dir=target.parent)
    try:
        # Members of a tar file must not land elsewhere; of zip files none does.
        safely = {} if archive.suffix == ".zip" else {"filter": "data"}
        shutil.unpack_archive(archive, temporary, **safely)
        # Some archives hold one archive for each class or subject.
        for inner in sorted(pathlib.Path(temporary).rglob("*.zip")):
            shutil.unpack_archive(inner, inner.with_suffix(""))
            inner.unlink()
        os.replace(temporary, target)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
