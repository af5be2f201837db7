"""Fetching one file of the catalogue: resumed where possible, checked before it gets its name.

A failed download leaves a part that can be continued (``unfinished.py``), or the folder as it was.
"""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass

from ..errors import ModelError, OutputError
from .catalogue import ModelFile
from .records import Record, check_kind, git_blob_of, is_sha256, write_record
from .store import Store
from .transport import Access, Answer, PassingError, request
from .unfinished import Unfinished, folder_for

_WHOLE, _PART, _RANGE_REFUSED = 200, 206, 416
_RANGE = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18})")


@dataclass(frozen=True)
class Limits:
    """Patience and caution.

    timeout          seconds without a byte
    attempts         in a row without progress
    all_attempts     with or without
    pause            seconds before the second attempt, doubled for each further one
    longest_pause    seconds
    stall            seconds in which at least ``stall_bytes`` must come
    spare            bytes that must stay free on the disk
    chunk            bytes per read
    """

    timeout: float = 30.0
    attempts: int = 5
    all_attempts: int = 40
    pause: float = 1.0
    longest_pause: float = 30.0
    stall: float = 60.0
    stall_bytes: int = 65536
    spare: int = 64 * 1024**2
    chunk: int = 1 << 18


Report = Callable[[int, int | None], object]


class UnfitError(ModelError):
    """What came is not the file, so it is not kept."""


def fetch(
    store: Store,
    file: ModelFile,
    access: Access,
    limits: Limits | None = None,
    report: Report = lambda _done, _total: None,
    sleep: Callable[[float], object] = time.sleep,
) -> Record:
    """Bring a file to its place; returns its record.

    Args:
        report: called with the bytes that are here and the bytes there will be, if known.
        sleep: waits between attempts.

    Raises:
        ModelError: offline, unreachable, not there, too large, wrong length or content.
        OutputError: the folder cannot be written, or has no room.
    """
    path = store.place(file.target)
    url = access.address(file.address)
    try:
        with folder_for(path):
            return _Transfer(store, file, url, access, limits or Limits(), report, sleep).run()
    except OSError as error:
        raise OutputError(
            f'"{path}" cannot be written: {error.strerror or error}. Make room or choose another '
            "folder (--dir); the same command then goes on where it stopped."
        ) from error


class _Transfer:
    """The way of one file from its address to its place."""

    def __init__(
        self,
        store: Store,
        file: ModelFile,
        url: str,
        access: Access,
        limits: Limits,
        report: Report,
        sleep: Callable[[float], object],
    ) -> None:
        self._path = store.place(file.target)
        self._part = Unfinished(store, file, url)
        self._file, self._url, self._access, self._limits = file, url, access, limits
        self._report, self._sleep = report, sleep
        self._revision: str | None = None

    def run(self) -> Record:
        """Receive, check, rename."""
        part = self._part
        try:
            part.take_up()
            self._receive_all()
            if part.earlier and self._fault() is not None:
                part.restart()  # the earlier bytes may be to blame: once more, all of it
                self._receive_all()
            self._check_content()
        except UnfitError:
            part.discard()
            raise
        finally:
            part.tidy()
        part.move_to(self._path)
        record = Record(
            address=self._url,
            size=part.done,
            sha256=part.digest.hexdigest(),
            revision=self._file.revision or self._revision,
            first_seen=not self._file.pinned,
        )
        write_record(self._path, record)
        return record

    # --- attempts ---------------------------------------------------------------------------------

    def _receive_all(self) -> None:
        """Attempt until the file is complete, or give up and keep the part."""
        in_vain = 0
        for _ in range(self._limits.all_attempts):
            before = self._part.done
            try:
                self._attempt()
                return
            except PassingError as error:
                fault = error
            in_vain = 0 if self._part.done > before else in_vain + 1
            if in_vain >= self._limits.attempts:
                break
            pause = self._limits.pause * 2 ** max(in_vain - 1, 0)
            self._sleep(min(max(pause, fault.wait), self._limits.longest_pause))
        done = self._part.done
        kept = f"; {done} bytes are kept and the same command goes on" if done else ""
        raise ModelError(
            f"{self._file.name} could not be fetched: {fault}{kept}. Check the network, a proxy "
            "(HTTPS_PROXY) or a mirror (MAGICFACE_MIRROR)."
        )

    def _attempt(self) -> None:
        part = self._part
        if part.done and part.done == part.total:
            return
        headers = {}
        if part.done:
            headers["Range"] = f"bytes={part.done}-"
            if part.etag:
                headers["If-Range"] = part.etag
        with request(self._url, self._access, headers, self._limits.timeout) as answer:
            self._listen(answer)
            part.write_note()
            self._receive(answer)
        if part.total is not None and part.done < part.total:
            raise PassingError(f"the connection ended after {part.done} of {part.total} bytes")

    def _listen(self, answer: Answer) -> None:
        """Take in status and headers; raises ModelError for what must not be received."""
        part, partial = self._part, answer.status == _PART
        if answer.status == _RANGE_REFUSED or (partial and not self._continues(answer)):
            part.restart()
            raise PassingError("the file changed on the server; starting again")
        if answer.status not in (_WHOLE, _PART):
            raise ModelError(f"{self._url} answers {answer.status}; try later.")
        self._check_form(answer)
        total = self._length(answer, part.done if partial else 0)
        if not partial:
            part.restart()
        part.total = part.total if total is None else total
        part.etag = _strong(answer.header("ETag"))
        self._revision = answer.any_header("X-Repo-Commit") or self._revision
        told = (answer.any_header("X-Linked-ETag") or "").strip('"')
        part.told = told if is_sha256(told) else part.told
        self._check_room()

    def _continues(self, answer: Answer) -> bool:
        """Whether a partial answer goes on exactly where the part on disk ends."""
        part = self._part
        found = _RANGE.fullmatch(answer.header("Content-Range") or "")
        if found is None or not part.done:
            return False
        start, end, total = (int(number) for number in found.groups())
        same = not part.etag or _strong(answer.header("ETag")) in ("", part.etag)
        return same and start == part.done and end == total - 1 and part.total in (None, total)

    def _check_form(self, answer: Answer) -> None:
        if (answer.header("Content-Encoding") or "identity") != "identity":
            raise ModelError(f"{self._file.name} comes compressed; try later or another mirror.")
        if (answer.header("Content-Type") or "").startswith("text/html"):
            raise ModelError(
                f"A web page came instead of {self._file.name}; a proxy or mirror asks for "
                "something. Open the address in a browser, or copy the file by hand."
            )

    def _length(self, answer: Answer, offset: int) -> int | None:
        """Bytes of the whole file as announced; raises ModelError where they cannot be right."""
        length = answer.header("Content-Length")
        if length is None or not length.isdecimal() or len(length) > 18:
            return None
        total, known = offset + int(length), self._file.size
        if known is not None and total != known:
            raise ModelError(
                f"{self._file.name} should have {known} bytes, the server sends {total}; it is "
                "another file. Update MagicFace or copy the right one by hand."
            )
        if total > self._file.limit:
            raise ModelError(
                f"{self._file.name} would have {total} bytes, at most {self._file.limit} are "
                "accepted; the source sends something else."
            )
        return total

    def _check_room(self) -> None:
        part = self._part
        needed = (self._file.limit if part.total is None else part.total) - part.done
        free = shutil.disk_usage(part.path.parent).free
        if needed + self._limits.spare > free:
            raise OutputError(
                f"{self._file.name} needs {needed / 1e6:.1f} MB, {free / 1e6:.1f} MB are free in "
                f'"{part.path.parent}"; make room or choose another folder (--dir).'
            )

    def _receive(self, answer: Answer) -> None:
        """Append the body to the part; raises UnfitError for more bytes than announced."""
        part, limits = self._part, self._limits
        most = self._file.limit if part.total is None else part.total
        mark, since = part.done, time.monotonic()
        while block := answer.read(limits.chunk):
            if part.done + len(block) > most:
                raise UnfitError(
                    f"{self._file.name} is longer than {most} bytes; the source sends something "
                    "else."
                )
            part.append(block)
            self._report(part.done, part.total)
            if time.monotonic() - since > limits.stall:
                if part.done - mark < limits.stall_bytes:
                    raise PassingError("the connection is too slow to finish")
                mark, since = part.done, time.monotonic()

    # --- the content ------------------------------------------------------------------------------

    def _check_content(self) -> None:
        fault = self._fault()
        if fault is not None:
            raise UnfitError(fault)
        if not self._file.pinned:
            try:
                check_kind(self._part.path, self._file.name)
            except ModelError as error:
                raise UnfitError(str(error)) from error

    def _fault(self) -> str | None:
        """What is wrong with the complete part; None where it is what it should be."""
        file, part = self._file, self._part
        if not part.done:
            return f"{file.name} came without content; try again later."
        found, expected = part.digest.hexdigest(), file.sha256 or part.told
        if file.size is not None and part.done != file.size:
            return f"{file.name} should have {file.size} bytes, {part.done} came; try again later."
        if expected is not None and found != expected:
            return _wrong(file.name, "sha256", expected, found)
        if file.git_blob is not None:
            blob = git_blob_of(part.path)
            if blob != file.git_blob:
                return _wrong(file.name, "git object id", file.git_blob, blob)
        return None


def _wrong(name: str, kind: str, expected: str, found: str) -> str:
    return (
        f"{name} has the {kind} {found}, expected {expected}: it was damaged or exchanged on the "
        "way and is not kept. Try again, or another network or mirror."
    )


def _strong(etag: str | None) -> str:
    """An entity tag that If-Range may carry; empty for weak or absent ones."""
    return "" if etag is None or etag.startswith("W/") else etag[:200]
