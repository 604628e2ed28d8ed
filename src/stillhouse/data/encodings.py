"""Which encoding a text file is in, as far as its bytes tell.

A byte order mark tells it, and so do zeros in every second byte (UTF-16). Bytes that are valid UTF-8 are UTF-8: other
text is so by accident alone. Everything else is a matter of opinion. Detectors were tried and are not used:
charset-normalizer 3.5.3 gave cp1257 for German in cp1252 and cp949 for Japanese, with its best marks. So the user says
it, and the refusal shows how the first such line would read. A file that several programs wrote may have lines of more
than one encoding: `utf-8,cp1252` takes for each line the first of them that it is text of.
"""

import codecs
import gzip
import io
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from stillhouse.errors import DatasetError

# Stands where bytes are no text of the encoding. A lone surrogate is in no text file, so it is never mistaken.
DAMAGE = "\udcff"

_MARKS = (  # longest first: UTF-32's mark begins like UTF-16's
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_NAMES = {"utf-16": "UTF-16", "utf-32": "UTF-32", "utf-16-le": "UTF-16", "utf-16-be": "UTF-16"}
_CHUNK = 1 << 20
_HEAD = 4096  # bytes in which zeros are counted


def _mark_damage(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeDecodeError)
    return DAMAGE, error.end


codecs.register_error("stillhouse-damage", _mark_damage)


@dataclass(frozen=True)
class Encoding:
    """Python's name of the encoding, and a sentence where it is not the usual one."""

    codec: str
    note: str | None = None


def open_bytes(path: Path) -> IO[bytes]:
    """The file's bytes, unpacked where its name ends in .gz."""
    return gzip.open(path, "rb") if path.suffix.lower() == ".gz" else path.open("rb")  # type: ignore[return-value]


def open_text(path: Path, encoding: Encoding) -> IO[str]:
    """The file's text with its line ends as they are. Bytes that are no text come as DAMAGE."""
    if "," in encoding.codec:
        by_line = _by_line(path, encoding.codec.split(","))
        return io.TextIOWrapper(io.BufferedReader(_Utf8(by_line)), "utf-8", errors="surrogatepass", newline="")
    return io.TextIOWrapper(open_bytes(path), encoding.codec, errors="stillhouse-damage", newline="")


def _by_line(path: Path, codecs_: list[str]) -> Iterator[bytes]:
    """The lines, each in the first encoding that it is text of, as UTF-8."""
    with open_bytes(path) as file:
        for number, line in enumerate(file):
            text = None
            for codec in codecs_:
                try:
                    text = line.decode(codec)
                    break
                except UnicodeDecodeError:
                    pass
            text = line.decode(codecs_[-1], "stillhouse-damage") if text is None else text
            yield (text.removeprefix("\ufeff") if number == 0 else text).encode("utf-8", "surrogatepass")


class _Utf8(io.RawIOBase):
    """Pieces of bytes as a file."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces, self._rest = pieces, b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._rest:
            if (piece := next(self._pieces, None)) is None:
                return 0
            self._rest = piece
        n = min(len(buffer), len(self._rest))
        buffer[:n], self._rest = self._rest[:n], self._rest[n:]
        return n


def encoding_of(path: Path, named: str | None = None) -> Encoding:
    """The encoding that the user named, or that the bytes tell.

    A file that is UTF-8 but for a few bytes is UTF-8 with damaged rows. Raises DatasetError where it cannot be told.
    """
    if named is not None:
        return _named(path, named)
    try:
        with open_bytes(path) as file:
            if (codec := _told_by(file.read(_HEAD))) is not None:
                usual = codec == "utf-8-sig"
                return Encoding(codec, None if usual else f"{path.name} is read as {_NAMES[codec]}")
            file.seek(0)
            return _utf8(path, file)
    except (OSError, EOFError, zlib.error) as error:
        raise DatasetError(f"{path}: cannot be read ({reason_of(error)}); copy or make the file again") from None


def other_than_utf8(path: Path, named: str | None) -> Encoding | None:
    """The encoding that the user named, or that the file's first bytes tell; None: UTF-8, as far as they tell."""
    if named is not None:
        return _named(path, named)
    try:
        with open_bytes(path) as file:
            codec = _told_by(file.read(_HEAD))
    except (OSError, EOFError, ValueError, zlib.error):
        return None  # whoever reads the file says it better
    return None if codec in (None, "utf-8-sig") else Encoding(codec, f"{path.name} is read as {_NAMES[codec]}")


def reason_of(error: Exception) -> str:
    """Why a file cannot be read, without its name."""
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def _told_by(head: bytes) -> str | None:
    """The codec that a byte order mark or zeros tell."""
    for mark, codec in _MARKS:
        if head.startswith(mark):
            return codec
    return _by_zeros(head)


def _named(path: Path, named: str) -> Encoding:
    names = [name.strip() for name in named.split(",")]
    codec = ",".join(_codec(path, name, is_one_of_several=len(names) > 1) for name in names)
    if len(names) > 1:
        return Encoding(codec, f"{path.name} is read line by line as {' or '.join(names)}")
    return Encoding(
        "utf-8-sig" if codec == "utf-8" else codec, f"{path.name} is read as {named}{_also_utf8(path, codec)}"
    )


def _codec(path: Path, name: str, *, is_one_of_several: bool) -> str:
    try:
        info = codecs.lookup(name)
        ends_lines = "\n".encode(info.name) == b"\n"  # raises for a codec such as base64, which is no encoding of texts
    except LookupError:
        raise DatasetError(
            f'{path}: {name!r} is no encoding that Python knows; "cp1252", "utf-16", "shift_jis", "gb18030" are some'
        ) from None
    if is_one_of_several and not ends_lines:
        raise DatasetError(f"{path}: {name} ends its lines in other bytes than others do; name it alone")
    return info.name


def _also_utf8(path: Path, codec: str) -> str:
    """What to say where lines of a file in another encoding are UTF-8 beyond ASCII: no text is so by accident."""
    if codec == "utf-8" or "\n".encode(codec) != b"\n":
        return ""
    try:
        with open_bytes(path) as file:
            found = [(number, line) for number, line in enumerate(file, 1) if not line.isascii() and _is_utf8(line)]
    except (OSError, EOFError, zlib.error):
        return ""  # whoever reads the file says it better
    if not found:
        return ""
    number, line = found[0]
    at = next(place for place, byte in enumerate(line) if byte > 127)
    word = " ".join(line[max(0, at - 12) : at + 12].decode(codec, "replace").split())
    lines = "a line is" if len(found) == 1 else f"{len(found):,} lines are"
    return (
        f", but {lines} valid UTF-8, as line {number:,}, which then reads {word!r}; "
        f'if it is a file of both, say "utf-8,{codec}"'
    )


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True


def _by_zeros(head: bytes) -> str | None:
    """UTF-16 without a mark: in most scripts with spaces and line ends in them, one byte of many a pair is zero."""
    even, odd = head[0::2].count(0), head[1::2].count(0)
    pairs = len(head) // 2
    if pairs >= 4 and odd > 0.3 * pairs and even < 0.05 * pairs:
        return "utf-16-le"
    return "utf-16-be" if pairs >= 4 and even > 0.3 * pairs and odd < 0.05 * pairs else None


def _utf8(path: Path, file: IO[bytes]) -> Encoding:
    decoder = codecs.getincrementaldecoder("utf-8")(errors="stillhouse-damage")
    damaged = n_bytes = n_signs = 0
    while chunk := file.read(_CHUNK):
        text = decoder.decode(chunk)
        damaged += text.count(DAMAGE)
        n_bytes, n_signs = n_bytes + len(chunk), n_signs + len(text)
    text = decoder.decode(b"", final=True)
    damaged, n_signs = damaged + text.count(DAMAGE), n_signs + len(text)
    # Each sign beyond ASCII takes bytes more than one: where they outweigh the broken ones, this is UTF-8.
    if damaged and damaged > n_bytes - n_signs:
        raise _untold(path)
    return Encoding("utf-8")


def _untold(path: Path) -> DatasetError:
    """The refusal where nobody can tell: it shows the first line that is not UTF-8 as the commonest other reads it."""
    with open_bytes(path) as file:
        number, line, at = next(_lines_that_are_not_utf8(file))
        file.seek(0)
        is_mixed = any(not line.isascii() and _is_utf8(line) for line in file)
    reading = line.decode("cp1252", errors="replace")
    start = max(0, at - 30)
    both = '; other lines are UTF-8, so perhaps "utf-8,cp1252", line by line' if is_mixed else ""
    excerpt = " ".join(reading[start : start + 60].split())
    return DatasetError(
        f"{path}: not UTF-8 (on line {number:,}), and its bytes do not tell which encoding it is; name it with "
        f'--encoding, or `encoding` in [data]: with "cp1252" (Excel in Western Europe and America) this line reads '
        f"{excerpt!r}{both}"
    )


def _lines_that_are_not_utf8(file: IO[bytes]) -> Iterator[tuple[int, bytes, int]]:
    """(number, line, place of the first byte that is none)."""
    for number, line in enumerate(file, start=1):
        try:
            line.decode()
        except UnicodeDecodeError as error:
            yield number, line, error.start
