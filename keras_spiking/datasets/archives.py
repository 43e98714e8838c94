"""Archives of data sets: downloaded if asked for, verified, then unpacked once."""

import gzip
import hashlib
import os
import pathlib
import shutil
import tarfile
import tempfile
import zipfile

from keras_spiking.datasets.downloads import fetch
from keras_spiking.datasets.files import replacing
from keras_spiking.datasets.limits import Counted
from keras_spiking.datasets.limits import UnpackedBytes
from keras_spiking.datasets.limits import check_zip
from keras_spiking.datasets.readers.binary import damage
from keras_spiking.files import claimed
from keras_spiking.files import remove_leftovers
from keras_spiking.validation import check_bool

_UNPACKED = "unpacked"


class NotThere(ValueError):
    """A folder without the data set."""


def find_dataset(
    folder,
    archives,
    names,
    *,
    needed=None,
    max_unpacked_bytes=None,
    download=False,
):
    """The folder that contains all `names`, of a data set that is there or in archives.

    Args:
        folder: Path of the folder with the downloaded files.
        archives: Dictionary from the name of an archive to its `Archive`.
        names: Names of files or folders.
        needed: Names of the archives that hold them. Defaults to all.
        max_unpacked_bytes: See `unpacked`.
        download: Boolean, whether to download the archives if `names` are not there.

    Raises:
        ValueError: if there is none; see `unpacked` for other reasons.
        OSError: see `fetch`.
    """
    arguments = (folder, archives, needed, max_unpacked_bytes)
    check_bool("download", download)
    try:
        return find_folder(unpacked(*arguments), names)
    except NotThere as error:
        if not download:
            raise NotThere(f"{error} Or give `download=True`.") from None
    for name in archives if needed is None else needed:
        fetch(folder, name, archives[name])
    return find_folder(unpacked(*arguments), names)


def unpacked(folder, archives, needed=None, max_unpacked_bytes=None):
    """The folders with the contents of archives, unpacking them where necessary.

    Args:
        folder: Path of the folder with the downloaded files.
        archives: Dictionary from the name of an archive to its `Archive`.
        needed: Names of the archives that are needed. Defaults to all.
        max_unpacked_bytes: Integer, how much an archive may unpack to. Defaults to
            64 MiB or 100 times its size, whichever is more.

    Returns:
        A list of paths: the folder itself, for those who unpacked by themselves,
        and one below `folder/unpacked` for each archive that is there.

    Raises:
        ValueError: if the folder does not exist, a checksum does not match, or an
            archive is damaged or unpacks to more than the limit.
    """
    folder = pathlib.Path(folder).expanduser()
    if not folder.is_dir():
        raise NotThere(
            f"The folder {str(folder)!r} does not exist. Download the files named in "
            "the loader's documentation into it."
        )
    roots = [folder]
    for name in archives if needed is None else needed:
        target = folder / _UNPACKED / name
        if not target.exists() and (folder / name).is_file():
            _check(folder / name, archives[name].md5)
            _unpack(folder / name, target, max_unpacked_bytes)
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
    raise NotThere(
        f"{str(roots[0])!r} does not contain the dataset: neither its archives nor "
        f"{', '.join(names)}. See the loader's documentation for the files."
    )


def find_files(roots, pattern):
    """The files below `roots` in alphabetic order, each once.

    What stands in `folder/unpacked` belongs to the archives, which have roots of
    their own, or is being unpacked by another process.
    """
    return sorted(
        path
        for root in roots
        for path in root.rglob(pattern)
        if path.relative_to(root).parts[0] != _UNPACKED
    )


def listed(path):
    """The words of a list of recordings, see `inside`."""
    with damage(path, "a list of recordings"):
        return path.read_text("utf-8").split()


def inside(folder, name):
    """The path of a file that a list names.

    Raises:
        ValueError: if it leads out of the folder.
    """
    name = pathlib.PurePath(name)
    if name.is_absolute() or ".." in name.parts:
        raise ValueError(
            f"A list of recordings names {str(name)!r}, outside of {str(folder)!r}. "
            "Download the dataset again."
        )
    return folder / name


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


def _unpack(archive, target, max_unpacked_bytes):
    """Unpacks into a temporary folder that gets its name when it is complete.

    Of several processes that unpack one archive, the first gives it the name.
    """
    budget = UnpackedBytes(archive, max_unpacked_bytes)
    target.parent.mkdir(parents=True, exist_ok=True)
    remove_leftovers(target.parent)
    temporary = pathlib.Path(tempfile.mkdtemp(prefix=".part-", dir=target.parent))
    try:
        with claimed(temporary, wait=True):  # until it has its name
            with damage(archive, "an archive"):
                _unpack_all(archive, temporary, budget)
            try:
                os.replace(temporary, target)
            except OSError:
                if not target.is_dir():
                    raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _unpack_all(archive, folder, budget):
    if archive.suffix == ".zip":
        _unpack_zip(archive, folder, budget)
    else:
        _unpack_tar(archive, folder, budget)
    # Some archives hold one archive for each class or subject.
    for inner in sorted(p for p in folder.rglob("*.zip") if p.is_file()):
        _unpack_zip(inner, inner.with_suffix(""), budget)
        inner.unlink()


def _unpack_zip(path, folder, budget):
    with zipfile.ZipFile(path) as archive:
        check_zip(archive.infolist(), budget)
        archive.extractall(folder)


def _unpack_tar(path, folder, budget):
    # Sizes of members are known on the way only: every byte is counted.
    with gzip.open(path) as content:
        counted = Counted(content, budget)
        with tarfile.open(fileobj=counted, mode="r|") as archive:
            archive.extractall(folder, _dense(archive), filter="data")


def _dense(archive):
    """The members of an archive, none of which has holes, whose bytes are nowhere."""
    for member in archive:
        if member.issparse():
            raise ValueError(f"{member.name!r} is sparse")
        yield member


def unpack_gzip(path, max_unpacked_bytes=None):
    """Unpacks `name.gz` to `name`, unless that is there."""
    target = path.with_suffix("")
    if target.exists() or not path.is_file():
        return
    budget = UnpackedBytes(path, max_unpacked_bytes)
    with damage(path, "an archive"):
        with gzip.open(path) as content, replacing(target) as file:
            shutil.copyfileobj(Counted(content, budget), file)
