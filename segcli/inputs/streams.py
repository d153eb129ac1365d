"""Open a file of the user's as bytes of UTF-8, whatever it was packed and encoded with.

Every way in which a file can fail to be text ends here in one `InputError`.
"""

from __future__ import annotations

import codecs
import gzip
import hashlib
import re
import stat
import unicodedata
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa

from segcli.errors import InputError, OptionError
from segcli.progress import report
from segcli.words import counted

PIECE = 1 << 20
LONGEST_LINE = 1 << 22
_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
_UTF8_BOM = codecs.BOM_UTF8
# UTF-32 first: its mark begins as that of UTF-16 does.
_WIDE_BOMS = (
    ("utf-32", (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)),
    ("utf-16", (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)),
)
# Where NUL bytes stand among four, in text of mostly ASCII.
_WIDE: Mapping[tuple[bool, ...], str] = {
    (False, True, False, True): "utf-16-le",
    (True, False, True, False): "utf-16-be",
    (False, True, True, True): "utf-32-le",
    (True, True, True, False): "utf-32-be",
}
_BEYOND_ASCII = bytes(range(0x80, 0x100))
_C1 = re.compile(rb"[\x80-\x9f]")
_LOOKS = (
    (b"PK\x03\x04", "a zip archive"),
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook (.xls)"),
    (b"\x89PNG", "a PNG picture"),
    (b"\xff\xd8\xff", "a JPEG picture"),
    (b"GIF8", "a GIF picture"),
    (b"%PDF", "a PDF document"),
    (b"BZh", "a bzip2 archive"),
    (b"\xfd7zXZ", "an xz archive"),
    (b"7z\xbc\xaf", "a 7z archive"),
    (b"SQLite format 3", "an SQLite database"),
    (b"\x89HDF", "an HDF5 file"),
    (b"\x93NUMPY", "a NumPy array"),
    (b"ARROW1", "a Feather (Arrow) file"),
    (b"FEA1", "a Feather file"),
    (b"\x7fELF", "a program"),
    (b"version https://git-lfs.github.com/spec/", "a Git LFS pointer"),
)
_START = 1000  # bytes
# Of two tags in a line with a blank between them the first is a field.
_MARKUP = re.compile(
    rb"\s*<(?:!doctype|html|\?xml|[a-z][^<>]*>(?:[ \t]*[\r\n]\s*)?<)", re.IGNORECASE
)
_JSON = re.compile(rb'\s*(?:\{\s*"|\[\s*["{\[])')
# By the name of what comes first in it.
_WORKBOOK = re.compile(rb"PK\x03\x04.{26}(?:\[Content_Types\]|_rels/|docProps/|xl/)", re.DOTALL)
_OPEN_DOCUMENT = re.compile(rb"PK\x03\x04.{26}mimetype", re.DOTALL)


def check_file(path: Path) -> None:
    """Refuse a path that is not a file with something in it.

    Raises
    ------
    InputError
        If it does not exist, is a folder or a device, is empty, or may not be read.
    """
    try:
        status = path.stat()
    except FileNotFoundError as error:
        msg = f"{path} does not exist. Check the name and the folder."
        raise InputError(msg) from error
    except (OSError, ValueError) as error:
        msg = f"{path} cannot be read: {getattr(error, 'strerror', None) or error}."
        raise InputError(msg) from error
    if stat.S_ISDIR(status.st_mode):
        msg = f"{path} is a folder. Name the file in it that holds the rows."
        raise InputError(msg)
    if not stat.S_ISREG(status.st_mode):
        msg = f"{path} is not a regular file, and must be read more than once. Save it to a file first."
        raise InputError(msg)
    if status.st_size == 0:
        msg = f"{path} is empty: it holds no rows. Check how it was made."
        raise InputError(msg)


def is_parquet(path: Path) -> bool:
    """Return whether a file is Parquet, by its first bytes or its name.

    Raises
    ------
    InputError
        If it cannot be read.
    """
    with _failures(path), path.open("rb") as file:
        return file.read(4) == b"PAR1" or path.suffix.lower() == ".parquet"


def survey(path: Path, stated: str | None) -> tuple[str, bool]:
    """Return the encoding that reads the whole file, and whether there may be quotes in it.

    The encoding is ``stated``, or what the bytes allow.

    A byte order mark decides. Otherwise a file is UTF-8 if all of it is; if not, Windows-1252 where
    it uses the bytes that latin-1 leaves to control characters, and latin-1 where it does not.

    Raises
    ------
    InputError
        If the file is binary, or cannot be unpacked.
    OptionError
        If ``stated`` is not the name of an encoding.
    """
    if stated is not None:
        return _known_encoding(path, stated), True
    quotes = False
    utf8: codecs.IncrementalDecoder | None = codecs.getincrementaldecoder("utf-8")()
    encoding, latin = "utf-8", "latin-1"
    for number, piece in enumerate(raw_pieces(path)):
        if number == 0:
            _refuse_binary(path, piece)
            marked = _marked_encoding(piece)
            if marked is not None:
                return marked, True
            encoding = "utf-8-sig" if piece.startswith(_UTF8_BOM) else "utf-8"
        if b"\0" in piece:
            _refuse_nul(path, piece, "latin-1")
        quotes = quotes or b'"' in piece
        plain = piece.isascii()
        if not plain or (utf8 is not None and utf8.getstate()[0]):
            utf8 = _decodes(utf8, piece)
        if latin == "latin-1" and not plain and _C1.search(piece):
            latin = "cp1252"
    if utf8 is not None and _decodes(utf8, b"", final=True) is not None:
        return encoding, quotes
    if encoding == "utf-8-sig":
        msg = (
            f"{path} begins as UTF-8 but does not stay so. Name its encoding with --encoding, or save it "
            "as UTF-8."
        )
        raise InputError(msg)
    return latin if latin == "latin-1" or _is_cp1252(path) else "latin-1", quotes


def doubtful_encoding(path: Path, encoding: str) -> str | None:
    """Return sentences, without the file's name, if most letters beyond ASCII are UTF-8, or None.

    ``encoding`` is the one that reads all of it.
    """
    decoder = codecs.getincrementaldecoder("utf-8")("ignore")
    n_beyond = n_other = 0
    for piece in raw_pieces(path):
        n_beyond += len(piece) - len(piece.translate(None, _BEYOND_ASCII))
        n_other += len(piece) - len(decoder.decode(piece).encode())
    if n_beyond <= 2 * n_other:
        return None
    are = "is" if n_other == 1 else "are"
    return (
        f"line {_line_of_other(path):,}: {counted(n_other, 'byte')} from here on {are} not UTF-8, though "
        f"all else is, so the file is read as {encoding}, and letters beyond ASCII come out wrong. Write "
        "all of it as UTF-8."
    )


@dataclass
class Digest:
    """The SHA-256 of a file that is being read.

    Attributes
    ----------
    whole : whether all of it has been read, as it lies on the disk
    """

    whole: bool = False
    _sha256: hashlib._Hash = field(default_factory=hashlib.sha256)

    def update(self, piece: bytes) -> None:
        """Take the next bytes."""
        self._sha256.update(piece)

    def __reduce__(self) -> tuple[type[Digest], tuple[()]]:
        """Let a table be sent to a worker: there it begins anew, as hashlib's cannot be sent."""
        return Digest, ()

    def hexadecimal(self) -> str | None:
        """Return the digest, or None if not all was read."""
        return self._sha256.hexdigest() if self.whole else None


def raw_pieces(
    path: Path, what: str | None = None, digest: Digest | None = None, size: int | None = None
) -> Iterator[bytes]:
    """Yield a file's bytes, unpacked, a mebibyte or ``size`` at a time; report progress as ``what``.

    Raises
    ------
    InputError
        If it cannot be read or unpacked.
    """
    at_once = size or PIECE
    with _failures(path), path.open("rb") as raw:
        n_bytes = path.stat().st_size
        unpacked = _unpack(raw)
        if unpacked is not raw:
            digest = None
        while piece := unpacked.read(at_once):
            if what is not None:
                report(what, raw.tell(), n_bytes)
            if digest is not None:
                digest.update(piece)
            yield piece
        if digest is not None:
            digest.whole = True


class LongLineError(ValueError):
    """A line does not end."""


def whole_lines(source: Iterable[bytes], size: int) -> Iterator[bytes]:
    """Yield pieces joined to whole lines, of about ``size`` bytes at a time.

    Raises
    ------
    LongLineError
        If for `LONGEST_LINE` bytes more no line ends.
    """
    parts: list[bytes] = []
    have = 0
    for piece in source:
        parts.append(piece)
        have += len(piece)
        if have < size:
            continue
        cut = piece.rfind(b"\n") + 1
        if not cut:  # lines may end in a carriage return alone
            cut = piece.rfind(b"\r", 0, len(piece) - 1) + 1
        if cut:
            yield b"".join([*parts[:-1], memoryview(piece)[:cut]])
            parts = [piece[cut:]]
            have = len(parts[0])
        elif have > size + LONGEST_LINE:
            msg = f"a row is longer than {LONGEST_LINE >> 20} MB."
            raise LongLineError(msg)
    if have:
        yield b"".join(parts)


def pieces(
    path: Path,
    encoding: str,
    what: str | None = None,
    digest: Digest | None = None,
    size: int | None = None,
) -> Iterator[bytes]:
    """Yield a file's text as UTF-8 bytes without a byte order mark, about ``size`` at a time.

    Raises
    ------
    InputError
        If the bytes are not in ``encoding``.
    """
    raw = raw_pieces(path, what, digest, size if encoding == "utf-8" else None)
    if encoding == "utf-8":  # `survey` has seen that it is
        yield from raw
        return
    decoder = codecs.getincrementaldecoder(encoding)()
    done, piece = 0, b""
    try:
        for piece in raw:
            text = decoder.decode(piece)
            if "\0" in text:
                _refuse_nul(path, piece, encoding)
            yield text.encode("utf-8")
            done += len(piece)
            piece = b""
        yield decoder.decode(piece, True).encode("utf-8")
    except UnicodeError as error:
        reason = str(error)
        if isinstance(error, UnicodeDecodeError):
            # What could not be decoded is the end of this piece and what was left of those before.
            before = done + len(piece) - len(error.object) + error.start
            line = line_after(raw_pieces(path), before)
            reason = f"{error.reason} at byte {before + 1:,}, in line {line:,}"
        msg = (
            f"{path} is not {encoding.removesuffix('-sig')}: {reason}. "
            "Name another encoding with --encoding, or leave it out to be detected."
        )
        raise InputError(msg) from error


def line_after(source: Iterable[bytes], n_bytes: int) -> int:
    """Return the number of the line that goes on after so many bytes of a text."""
    n_newlines = n_returns = 0
    for piece in source:
        n_newlines += piece[:n_bytes].count(b"\n")
        n_returns += piece[:n_bytes].count(b"\r")
        n_bytes -= len(piece)
        if n_bytes <= 0:
            break
    return 1 + max(n_newlines, n_returns)


def _unpack(raw: BinaryIO) -> BinaryIO:
    magic = raw.read(4)
    raw.seek(0)
    if magic.startswith(_GZIP):
        return gzip.GzipFile(fileobj=raw, mode="rb")  # type: ignore[return-value]
    if magic == _ZSTD:
        unpacked: BinaryIO = pa.CompressedInputStream(pa.PythonFile(raw, mode="r"), "zstd")
        return unpacked
    return raw


@contextmanager
def _failures(path: Path) -> Iterator[None]:
    """Turn what reading a file can raise into one line."""
    try:
        yield
    except PermissionError as error:
        msg = f"{path} cannot be read: permission denied. Change its permissions."
        raise InputError(msg) from error
    except EOFError as error:
        msg = f"{path} is cut short: its compressed data end too early. Download or compress it again."
        raise InputError(msg) from error
    except (OSError, zlib.error) as error:
        msg = f"{path} cannot be read: {getattr(error, 'strerror', None) or error}."
        raise InputError(msg) from error


def _known_encoding(path: Path, name: str) -> str:
    try:
        "a".encode(name)  # refuses codecs that are not of text
        codecs.getincrementaldecoder(name)
        normal = codecs.lookup(name).name
    except (LookupError, ValueError) as error:
        msg = f"'{name}' is not the name of an encoding. Use one such as utf-8, latin-1 or utf-16."
        raise OptionError(msg) from error
    head = next(raw_pieces(path), b"")
    _refuse_binary(path, head)
    # A stated utf-8 is decoded strictly, and its mark dropped where there is one.
    return "utf-8-sig" if normal == "utf-8" else normal


def _decodes(
    decoder: codecs.IncrementalDecoder | None, piece: bytes, *, final: bool = False
) -> codecs.IncrementalDecoder | None:
    """Return the decoder, or None once a piece cannot be decoded."""
    if decoder is None:
        return None
    try:
        decoder.decode(piece, final)
    except UnicodeDecodeError:
        return None
    return decoder


def _is_cp1252(path: Path) -> bool:
    return not any(re.search(rb"[\x81\x8d\x8f\x90\x9d]", piece) for piece in raw_pieces(path))


def _line_of_other(path: Path) -> int:
    """Return the number of the first line that is not UTF-8."""
    decoder, done = codecs.getincrementaldecoder("utf-8")(), 0
    for piece in raw_pieces(path):
        done += len(piece)
        try:
            decoder.decode(piece)
        except UnicodeDecodeError as error:
            done -= len(error.object) - error.start
            break
    return line_after(raw_pieces(path), done)


def _refuse_binary(path: Path, head: bytes) -> None:
    looks = next((what for magic, what in _LOOKS if head.startswith(magic)), None)
    start = head[:_START].removeprefix(_UTF8_BOM)
    if head[257:262] == b"ustar":
        looks = "a tar archive"
    elif _WORKBOOK.match(start):
        looks = "an Excel workbook (.xlsx)"
    elif _OPEN_DOCUMENT.match(start):
        looks = "an OpenDocument workbook (.ods)"
    elif _MARKUP.match(start):
        looks = "a web page or XML"
    elif _JSON.match(start):
        looks = "JSON"
    if looks is not None:
        way_out = "Export the rows as CSV or Parquet and use that file."
        if looks.endswith("archive"):
            way_out = "Unpack it and use the file in it."
        elif looks.endswith("pointer"):
            way_out = "Fetch the file itself: git lfs pull."
        msg = f"{path} looks like {looks}. {way_out}"
        raise InputError(msg)


def _refuse_nul(path: Path, piece: bytes, encoding: str) -> None:
    """Refuse a file for a piece of it that holds NUL, read as ``encoding``."""
    in_bytes = len("a".encode(encoding)) == 1  # else it is read as wide as it can be
    wide = _wide_encoding(piece[:2000]) if in_bytes else None
    if wide is not None:
        msg = f"{path} looks like {wide.upper()}. Say so: --encoding {wide}. Or save it as UTF-8."
    else:
        msg = (
            f"{path} is a binary file, or damaged: it holds NUL {'bytes' if in_bytes else 'characters'}, "
            f"the first in line {_line_of_nul(path, encoding):,}. Export the rows as CSV or Parquet."
        )
    raise InputError(msg)


def _line_of_nul(path: Path, encoding: str) -> int:
    """Return the number of the first line that holds NUL."""
    ends = Counter[str]()
    for text in codecs.iterdecode(raw_pieces(path), encoding):
        before, nul, _ = text.partition("\0")
        ends.update({end: before.count(end) for end in "\n\r"})
        if nul:
            break
    return 1 + max(ends.values())


def _wide_encoding(head: bytes) -> str | None:
    """Return the encoding of text in which a letter is two or four bytes; None if it is no text."""
    marked = _marked_encoding(head)
    if marked is not None:
        return marked
    nul = tuple(head[i::4].count(0) > 0.4 * len(head[i::4]) for i in range(4))
    encoding = _WIDE.get(nul)
    text = head.decode(encoding, errors="ignore") if encoding is not None else ""
    is_text = all(letter.isspace() or unicodedata.category(letter) != "Cc" for letter in text)
    return encoding if is_text else None


def _marked_encoding(head: bytes) -> str | None:
    """Return which of UTF-32 and UTF-16 a file's byte order mark is of."""
    return next((wide for wide, marks in _WIDE_BOMS if head.startswith(marks)), None)
