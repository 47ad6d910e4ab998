"""Finds the images that a command line or a list names, in an order that is the same every time."""

from __future__ import annotations

import glob
import os
import sys
import zipfile
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final

import fsspec

from camtool.errors import DataError, ImageReadError, shorten
from camtool.images.lists import listed_images
from camtool.images.sources import (
    FileSource,
    ImageSource,
    TarSource,
    UrlSource,
    ZipSource,
    checked_url,
    fetched,
)
from camtool.paths import is_there
from camtool.tables import IMAGE_ENDINGS, image_stem, is_image_name
from camtool.tar import DamagedTarError, tar_members

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

_DEFLATED: Final = zipfile.ZIP_DEFLATED
_LISTS: Final = frozenset({".txt", ".csv"})
_FOREIGN: Final = frozenset({"@eadir", "__macosx", "$recycle.bin", "lost+found"})
"""Folders that systems put beside pictures, in lower case: thumbnails, forks, what was deleted."""
_MASKS: Final = frozenset({"segmentationclass", "segmentationobject"})
"""Folders of PASCAL VOC whose pictures are masks, beside `JPEGImages`."""
_MAGIC: Final = (
    b"\xff\xd8\xff", b"\x89PNG\r\n", b"GIF8", b"BM", b"II*\0", b"MM\0*", b"II+\0", b"MM\0+",
    b"P1\n", b"P2\n", b"P3\n", b"P4\n", b"P5\n", b"P6\n", b"P4 ", b"P5 ", b"P6 ",
)  # fmt: skip
_NO_IMAGES: Final = frozenset(
    ".txt .csv .tsv .xml .json .jsonl .yaml .yml .toml .md .html .htm .pdf .npy .npz .pt .pth .py"
    " .tar .tgz .gz .zip .mp4 .mov .avi .log .ini .db .heic .heif .svg .psd .mat .h5".split()
)
"""Endings of files that a folder scan need not look into."""


@dataclass(slots=True)
class FoundImages:
    """The images in order, with unique ids, and what was noteworthy on the way.

    Example:
        >>> found = find_images(["examples/images", "examples/images/cat.jpg"])
        >>> found.warnings
        ['1 images are named twice: each is used once']
    """

    sources: list[ImageSource]
    warnings: list[str] = field(default_factory=list)


def find_images(arguments: str | Path | Sequence[str | Path]) -> FoundImages:
    """Find all images of files, folders (recursive), .tar and .zip, lists (.txt, .csv) and URLs.

    Of one argument, or of several. Hidden files and folders, and runs of `localize`, are left out
    of a folder; files without an ending, or with one that is not known, are looked into. What is
    left out is told in one line. `-` are names on stdin, one a line, and a pattern
    (`"photos/*.jpg"`) all that it fits.
    A name that is not there is an error; a listed image that is not there becomes a row with its
    reason. Image ids are paths relative to the argument, without extension, made longer only
    where two would be equal.

    Example:
        >>> [source.image_id for source in find_images("examples/images").sources][:3]
        ['bucket', 'cat', 'coffee']

    Raises:
        DataError: an argument is not there or cannot be read, or no image was found.
    """
    found = FoundImages([])
    given = [arguments] if isinstance(arguments, str | Path) else arguments
    names = [str(argument) for argument in given]
    named: list[tuple[str, ImageSource]] = []
    for name in (one for each in names for one in _spread(each)):
        named.extend((name, s) for s in _expand(name, found.warnings))
    if not named:
        why = f" ({'; '.join(found.warnings[:3])})" if found.warnings else ""
        raise DataError(f"no images in {', '.join(map(shorten, names))}{why}")
    found.sources = _unique(_without_duplicates(named, found.warnings))
    return found


def refuse_missing(arguments: Sequence[str | Path]) -> None:
    """Refuse names that are not there at once, before a network is loaded to look at them.

    Raises:
        DataError: an argument is not there.
    """
    for name in map(str, arguments):
        foreign = name == "-" or "::" in name or "://" in name or set(name) & set("*?[")
        if not foreign and not os.path.lexists(name):
            raise DataError(f"{shorten(name)}: no such file or folder")


def _spread(argument: str) -> list[str]:
    """Return the names on stdin for `-`, and what a pattern stands for that no shell has replaced.

    Raises:
        DataError: no name on stdin, or a pattern that nothing fits.
    """
    if argument == "-":
        names = [line.strip("\r\n") for line in sys.stdin]
        if not any(names):
            raise DataError("-: no name of an image on stdin")
        return [name for name in names if name]
    if not set(argument) & set("*?[") or "://" in argument or is_there(argument):
        return [argument]
    found = sorted(glob.glob(argument, recursive=True))  # noqa: PTH207 (of absolute patterns, too)
    if not found:
        raise DataError(f"{shorten(argument)}: no file fits this pattern")
    return found


def _expand(argument: str, warnings: list[str]) -> Iterable[ImageSource]:
    if "://" in argument or ("::" in argument and not is_there(argument)):
        return _url(argument)
    path = Path(argument)
    try:
        if path.is_dir():
            return _Folder(path, warnings).images()
        if path.is_symlink() or path.exists():
            return _file(path, warnings)
    except OSError as error:
        raise DataError(f"{shorten(argument)}: cannot be read ({error.strerror})") from error
    raise DataError(f"{shorten(argument)}: no such file or folder")


def _file(path: Path, warnings: list[str]) -> Iterable[ImageSource]:
    suffix = path.suffix.lower()
    if path.name.lower().endswith((".tar.gz", ".tgz", ".tar.xz", ".tar.bz2", ".tar.zst")):
        raise DataError(
            f"{shorten(str(path))}: a compressed tar cannot be read image by image; uncompress it"
            " first (the images in it are compressed already)"
        )
    if suffix == ".tar":
        return _tar(path, warnings)
    if suffix == ".zip":
        return _zip(path, warnings)
    if suffix in _LISTS:
        return listed_images(path, warnings)
    return [FileSource(path.name, str(path))]


class _Folder:
    """A scan of one folder: the images in it, and what was left out."""

    def __init__(self, root: Path, warnings: list[str]) -> None:
        self._root, self._warnings = root, warnings
        self._left_out: Counter[str] = Counter()
        self._heic: list[str] = []
        self._runs: list[str] = []
        self._masks: list[str] = []

    def images(self) -> list[ImageSource]:
        """Return the images, in the order of their paths.

        Raises:
            DataError: the folder cannot be read, or is a run, whose pictures are overlays.
        """
        if is_run_folder(self._root):
            raise DataError(
                f"{shorten(str(self._root))}: a run of camtool, whose pictures are overlays; name"
                " the folder of the images"
            )

        def fail(error: OSError) -> None:
            raise DataError(f"{shorten(str(error.filename))}: {error.strerror}") from error

        seen: set[tuple[int, int]] = set()
        files: list[str] = []
        for folder, folders, names in os.walk(self._root, onerror=fail, followlinks=True):
            here = Path(folder).stat()
            if (here.st_dev, here.st_ino) in seen:  # a link that leads back
                folders.clear()
                continue
            seen.add((here.st_dev, here.st_ino))
            folders[:] = self._entered(Path(folder), folders)
            base = Path(folder).relative_to(self._root)
            files.extend(str(base / n) for n in names if self._is_image(Path(folder), n))
        self._tell()
        ordered = sorted(files, key=lambda f: PurePosixPath(f).parts)
        return [FileSource(name, str(self._root / name)) for name in ordered]

    def _entered(self, folder: Path, names: list[str]) -> list[str]:
        """Return the folders to go into."""
        kept = []
        devkit = any(name.lower() == "jpegimages" for name in names)
        for name in names:
            if name.startswith(".") or name.lower() in _FOREIGN:
                continue
            if is_run_folder(folder / name):
                self._runs.append(name)
            elif devkit and name.lower() in _MASKS:
                self._masks.append(name)
            else:
                kept.append(name)
        return kept

    def _is_image(self, folder: Path, name: str) -> bool:
        if name.startswith("."):
            return False
        suffix = os.path.splitext(name)[1].lower()  # noqa: PTH122 (called for every file of a scan)
        if suffix in IMAGE_ENDINGS:
            return True
        if suffix not in _NO_IMAGES and _holds_image(folder / name):
            return True
        if suffix in (".heic", ".heif"):
            self._heic.append(name)
        else:
            self._left_out[suffix or "no ending"] += 1
        return False

    def _tell(self) -> None:
        place = shorten(str(self._root))
        if self._heic:
            first = ", ".join(shorten(name) for name in sorted(self._heic)[:3])
            self._warnings.append(
                f"{place}: {len(self._heic):,} HEIC photos left out, which are not read"
                f" ({first}{'…' if len(self._heic) > 3 else ''}); convert them to JPEG first, e.g."
                " magick mogrify -format jpg *.HEIC"
            )
        counts = sorted(self._left_out.items(), key=lambda kind: (-kind[1], kind[0]))
        kinds = [f"{count:,} {kind}" for kind, count in counts[:6]]
        if kinds:
            total = sum(self._left_out.values())
            more = "" if len(self._left_out) <= 6 else ", …"
            self._warnings.append(
                f"{place}: {total:,} files are no images by name and content, and left out"
                f" ({', '.join(shorten(k, 30) for k in kinds)}{more})"
            )
        for what, names in (("runs of camtool", self._runs), ("folders of masks", self._masks)):
            if names:
                listed = ", ".join(shorten(name, 40) for name in sorted(names)[:3])
                self._warnings.append(f"{place}: {what} in it are left out ({listed})")


def is_left_out(folder: Path) -> bool:
    """Whether a scan does not go into a folder: a hidden or foreign one, or a run."""
    name = folder.name
    return name.startswith(".") or name.lower() in _FOREIGN or is_run_folder(folder)


def is_run_folder(path: Path) -> bool:
    """Whether a folder is a run that this program wrote, finished or not."""
    for name in ("manifest.json", "parts/run.json", "checkpoints/.lock"):
        file = path / name
        try:
            with file.open("rb") as stream:
                head = stream.read(4096)
        except OSError:
            continue
        if name != "manifest.json" or (b'"program"' in head and b'"camtool"' in head):
            return True
    return False


def _holds_image(path: Path) -> bool:
    try:
        if not path.is_file():
            return False
        with path.open("rb") as file:
            head = file.read(16)
    except OSError:
        return False
    webp = head[:4] == b"RIFF" and head[8:12] == b"WEBP"
    avif = head[4:8] == b"ftyp" and head[8:12] in (b"avif", b"avis")
    return webp or avif or head.startswith(_MAGIC)


def _tar(path: Path, warnings: list[str]) -> Iterator[ImageSource]:
    others: Counter[str] = Counter()
    try:
        for member in tar_members(path):
            if not _is_tar_image(member.name):
                continue
            if member.kind == "folder":
                continue
            if member.kind != "file":
                others[f"{member.kind}s" if member.kind == "link" else f"{member.kind} files"] += 1
                continue
            place = f"{path}:{member.name}"
            yield TarSource(member.name, place, (), str(path), member.start, member.size)
    except DamagedTarError as error:
        raise DataError(f"{shorten(str(path))}: not a readable tar file ({error})") from error
    if others:
        kinds = ", ".join(f"{count:,} {kind}" for kind, count in others.items())
        warnings.append(f"{shorten(str(path))}: not read, since they hold no image: {kinds}")


def _zip(path: Path, warnings: list[str]) -> Iterator[ImageSource]:
    others = 0
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise DataError(f"{shorten(str(path))}: not a readable zip file ({error})") from error
    for member in members:
        if member.is_dir() or not _is_tar_image(member.filename):
            continue
        if member.flag_bits & 1 or member.compress_type not in (zipfile.ZIP_STORED, _DEFLATED):
            others += 1
            continue
        place = f"{path}:{member.filename}"
        yield ZipSource(
            member.filename, place, (), str(path), member.header_offset, member.compress_size,
            member.file_size, member.compress_type == _DEFLATED, member.CRC,
        )  # fmt: skip
    if others:
        warnings.append(
            f"{shorten(str(path))}: {others:,} images left out, which are encrypted or packed in a"
            " way that is not read; pack them anew"
        )


def _is_tar_image(name: str) -> bool:
    path = PurePosixPath(name)
    hidden = path.name.startswith(".") or any(part.lower() in _FOREIGN for part in path.parts)
    return not hidden and is_image_name(path.name)


def _url(url: str) -> list[ImageSource]:
    checked_url(url)
    try:
        return fetched(url, lambda: _listed(url))
    except ImageReadError as error:
        reason = error.reason.replace("fetched", "listed")
        raise DataError(f"{shorten(url)}: {reason}") from error


def _listed(url: str) -> list[ImageSource]:
    system, root = fsspec.core.url_to_fs(url)
    paths = sorted(system.find(root)) if system.isdir(root) else [root]
    found: list[ImageSource] = []
    for path in paths:
        if path == root or is_image_name(path):
            name = path[len(root) :].lstrip("/") or PurePosixPath(path).name
            found.append(UrlSource(name, system.unstrip_protocol(path)))
    return found


def _without_duplicates(
    named: list[tuple[str, ImageSource]], warnings: list[str]
) -> list[tuple[str, ImageSource]]:
    """Keep the first of images that are named twice, by the same path."""
    first: dict[str, tuple[str, ImageSource]] = {}
    for argument, source in named:
        first.setdefault(os.path.normpath(source.path), (argument, source))
    if len(first) < len(named):
        warnings.append(f"{len(named) - len(first)} images are named twice: each is used once")
    return list(first.values())


def _unique(named: list[tuple[str, ImageSource]]) -> list[ImageSource]:
    """Give every source an id: the shortest of several forms that no other source has."""
    pending = [_id_forms(argument, source) for argument, source in named]
    ids = [""] * len(named)
    open_places = list(range(len(named)))
    for level in range(4):
        counts = Counter(pending[i][level] for i in open_places)
        taken = set(ids)
        for i in open_places:
            if counts[pending[i][level]] == 1 and pending[i][level] not in taken:
                ids[i] = pending[i][level]
        open_places = [i for i in open_places if not ids[i]]
    for i in open_places:
        ids[i] = f"{pending[i][3]}#{i}"
    return [replace(source, image_id=i) for i, (_, source) in zip(ids, named, strict=True)]


def _id_forms(argument: str, source: ImageSource) -> tuple[str, str, str, str]:
    name = _inside(source.image_id)
    stem = image_stem(name)
    root = PurePosixPath(argument.rstrip("/")).name
    return stem, name, f"{root}/{name}", _inside(source.path)


def _inside(name: str) -> str:
    """A path as an id: without what leads out of a folder (`..`, a leading slash)."""
    parts = [p for p in PurePosixPath(name).parts if p not in ("/", ".", "..")]
    return "/".join(parts) or "image"
