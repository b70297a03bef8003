"""The files of a page. A folder is made under another name and appears whole; an earlier page is replaced as a whole.

    index.html  page.css  page.js  data/  thumbs/  looks/  pixels/  floats/  maps/  nvs-eval-page.txt

The last file lists the others, so that nothing else in the folder is ever removed.
"""

from __future__ import annotations

import base64
import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from nvs_eval.errors import InputError, some
from nvs_eval.report.page.text import script_json
from nvs_eval.system.files import cannot_write, check_writable, open_file, read_small, temporary_name, write_whole
from nvs_eval.system.folders import walk

MANIFEST = "nvs-eval-page.txt"
_HEAD = "nvs-eval page 1"
_LARGEST = 2**26
_SUFFIXES = (".html", ".htm")


class PageFiles:
    """Files of a page: in a folder, or embedded in its only file. Several threads may add some.

    Attributes:
        folder: folder that is filled; None if all data is embedded.
        embedded: JSON of each script, by path, if all data is embedded.
    """

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        self.embedded: dict[str, str] = {}
        self._lock = threading.Lock()
        self._names: list[str] = []

    @property
    def is_single(self) -> bool:
        """Whether everything is embedded in one file."""
        return self.folder is None

    def put(self, path: str, value: Any) -> str:
        """Add data, which the page asks for by its path."""
        text = script_json(value)
        if self.folder is None:
            self.embedded[path] = text
        else:
            self.write(path, f"NVS.put({script_json(path)},{text});\n".encode("utf-8", "backslashreplace"))
        return path

    def put_url(self, path: str, content: bytes, kind: str) -> str:
        """Add an image whose exact pixels scripts can read, as a data URL; not escaped, since it has no such sign."""
        url = data_url(content, kind)
        if self.folder is None:
            self.embedded[path] = f'"{url}"'
        else:
            self.write(path, b'NVS.put("%b","%b");\n' % (path.encode(), url.encode()))
        return path

    def put_floats(self, path: str, width: int, height: int, packed: bytes) -> str:
        """Add the packed float32 values of an image."""
        return self.put(path, {"w": width, "h": height, "data": base64.b64encode(packed).decode()})

    def put_image(self, path: str, content: bytes, kind: str) -> str:
        """Add an image to look at; return its path, or its data URL if everything is embedded."""
        if self.folder is None:
            return data_url(content, kind)
        self.write(path, content)
        return path

    def write(self, path: str, content: bytes) -> None:
        """Write a file of the folder, once.

        Raises:
            OSError: it cannot be written.
        """
        assert self.folder is not None
        file = self.folder / path
        file.parent.mkdir(exist_ok=True, parents=True)
        file.write_bytes(content)
        with self._lock:
            self._names.append(path)

    def finish(self) -> None:
        """Write the list of the files."""
        names = sorted({*self._names, MANIFEST})
        self.write(MANIFEST, "\n".join([_HEAD, *names, ""]).encode())


def data_url(content: bytes, kind: str) -> str:
    """Return content as a data URL, such as data:image/png;base64,..."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


# --- The place of a page ---


def page_file(output: Path, *, single: bool) -> Path:
    """Return the file to open: the HTML file that the user names with `--single-file`, else that of the folder."""
    return output if single and output.suffix.lower() in _SUFFIXES else output / "index.html"


def check_output(output: Path, *, single: bool, overwrite: bool) -> None:
    """Check that a page may be written, before any work.

    Raises:
        InputError: something else is there, or a page that may not be replaced.
    """
    if single:
        file = page_file(output, single=True)
        _check_file(file, overwrite=overwrite)
        check_writable(file)
        return
    if output.suffix.lower() in _SUFFIXES and not output.is_dir():
        raise InputError(f"--output must be a folder. Got {output}. Name a folder, or use `--single-file`.")
    if not os.path.lexists(output):
        return
    if not output.is_dir():
        raise InputError(f"{output} cannot be a folder: a file has its name. Name another --output.")
    own = _listed(output)
    others = [name for name in _files(output) if name not in own]
    if others:
        which = f"files that are not of a page of nvs-eval: {some(others, 3)}" if own else "files of another origin"
        raise InputError(f"{output} must be a new folder, or a page of nvs-eval. Got {which}. Name another --output.")
    if own and not overwrite:
        raise InputError(f"{output} already has a page. Use another --output, or --overwrite to replace the page.")


def _check_file(file: Path, *, overwrite: bool) -> None:
    if not os.path.lexists(file):
        return
    if not file.is_file() or not _is_page(file):
        raise InputError(f"{file} already exists and is not a page of nvs-eval. Name another --output.")
    if not overwrite:
        raise InputError(f"{file} already exists. Use another --output, or --overwrite to replace the page.")


def _is_page(file: Path) -> bool:
    with open_file(file) as stream:
        return b'content="nvs-eval' in stream.read(4096)


def _files(folder: Path) -> list[str]:
    return [Path(base, name).relative_to(folder).as_posix() for base, _, names in walk(folder) for name in names]


def _listed(folder: Path) -> set[str]:
    """Return the files that the list of a page names; none if there is no list."""
    with suppress(OSError, UnicodeDecodeError):
        head, *names = read_small(folder / MANIFEST, _LARGEST).decode().splitlines()
        if head == _HEAD:
            return set(names)
    return set()


@contextmanager
def new_folder(output: Path) -> Iterator[Path]:
    """Yield a folder to fill, which takes the name `output` at the end, in place of an earlier page of that name.

    After an error, everything is as it was before. Check `output` with `check_output` first.

    Raises:
        InputError: the folder cannot be written, or files of the user appeared in it meanwhile.
    """
    target = Path(os.path.realpath(output))
    made = [folder for folder in target.parents if not folder.exists()]
    staged = temporary_name(target.parent)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        staged.mkdir()
        yield staged
        check_output(output, single=False, overwrite=True)
        _exchange(staged, target)
    except OSError as error:
        raise cannot_write(output, error) from error
    finally:
        shutil.rmtree(staged, ignore_errors=True)
        if not target.exists():
            with suppress(OSError):  # They contain files of others.
                for folder in made:
                    folder.rmdir()


def _exchange(staged: Path, target: Path) -> None:
    """Give a folder the name of another one, and remove that."""
    if not target.exists():
        staged.rename(target)
        return
    earlier = temporary_name(target.parent)
    target.rename(earlier)
    try:
        staged.rename(target)
    except BaseException:
        earlier.rename(target)
        raise
    shutil.rmtree(earlier, ignore_errors=True)


def write_single(file: Path, html: bytes) -> None:
    """Write a page that is one file.

    Raises:
        InputError: it cannot be written.
    """
    write_whole(file, lambda stream: stream.write(html))
