"""The cache of prompts: what is said again and again is made once, for all calls of the process and for the next one.

In memory it keeps what was said last; on disk only what was asked for by `prepare()`. So the name of a caller never
comes to lie in a file: a greeting that the program has prepared does. Nothing of a private part of a call is kept.

A file holds one prompt, under the hash of what makes it: voice, settings, format, text and version of the engine. It is
written beside its place and moved there, so that several processes may use one folder, and whoever reads sees all of it
or nothing. Its own hash stands in it: a file that was damaged is taken for missing, and made again.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from ...audio import AudioFormat
from ...frames import Word
from ...settings import Settings, setting
from .prompt import Prompt

__all__ = ["PromptCache", "PromptCacheSettings", "PromptKey", "shared_cache"]

log = logging.getLogger(__name__)

#: What makes a prompt what it is, in any order that is always the same: strings and numbers.
PromptKey = tuple[str | int | float, ...]

_MAGIC: Final = b"voiceframe prompt 1\n"
_SUFFIX: Final = ".prompt"


class PromptCacheSettings(Settings, prefix="PROMPTS"):
    """Where spoken sentences are kept."""

    memory_mb: int = setting(default=32, doc="memory for sentences that were said; 0 for none", ge=0)
    directory: str = setting(default="", doc="folder for prepared sentences; empty for none on disk")
    disk_mb: int = setting(default=256, doc="what that folder may hold; the least used ones go first", ge=1)
    max_chars: int = setting(default=300, doc="longer sentences are not kept", ge=0)


class PromptCache:
    """Prompts by key, in memory and perhaps on disk. Safe in all threads.

    settings: by default from the environment and the settings file.
    """

    def __init__(self, settings: PromptCacheSettings | None = None) -> None:
        self.settings = settings or PromptCacheSettings.load()
        self.hits = 0
        self.misses = 0
        #: What is in memory, in bytes.
        self.bytes = 0
        self._limit = self.settings.memory_mb * 1_000_000
        self._prompts: OrderedDict[PromptKey, Prompt] = OrderedDict()
        self._lock = threading.Lock()
        self._claimed: set[PromptKey] = set()
        self._making: dict[PromptKey, tuple[threading.Lock, list[None]]] = {}
        self._disk = _Disk(self.settings) if self.settings.directory else None

    def get(self, key: PromptKey) -> Prompt | None:
        """The prompt, if it is in memory. Takes a microsecond."""
        with self._lock:
            prompt = self._prompts.get(key)
            if prompt is None:
                self.misses += 1
            else:
                self.hits += 1
                self._prompts.move_to_end(key)
            return prompt

    def get_or_make(
        self, key: PromptKey, make: Callable[[], Prompt], format: AudioFormat, piece_ms: int, *, disk: bool = False
    ) -> Prompt:
        """The prompt from memory, from disk, or made by `make()`, which runs once however many ask. Blocks.

        disk: keep it on disk.
        """
        with self._alone(key):
            with self._lock:
                prompt = self._prompts.get(key)
            if self._disk is not None and (prompt is None or disk):
                kept = self._disk.read(key, format, piece_ms)
                if kept is None and disk:
                    prompt = prompt or make()
                    self._disk.write(key, prompt)
                prompt = prompt or kept
            if prompt is None:
                prompt = make()
            self._keep(key, prompt)
            return prompt

    @property
    def on_disk(self) -> bool:
        """Whether there is a folder for prompts."""
        return self._disk is not None

    def fetch(self, key: PromptKey, format: AudioFormat, piece_ms: int) -> Prompt | None:
        """The prompt from memory or from disk. Blocks."""
        with self._lock:
            prompt = self._prompts.get(key)
        if prompt is None and self._disk is not None:
            prompt = self._disk.read(key, format, piece_ms)
            if prompt is not None:
                self._keep(key, prompt)
        return prompt

    def put(self, key: PromptKey, prompt: Prompt, *, disk: bool = False) -> None:
        """Keep a prompt that was made elsewhere. Blocks, if it is kept on disk."""
        self._keep(key, prompt)
        if disk and self._disk is not None:
            self._disk.write(key, prompt)

    def claim(self, key: PromptKey) -> bool:
        """Whether nobody makes this prompt already; then the caller does, and says `release(key)`."""
        with self._lock:
            if key in self._claimed:
                return False
            self._claimed.add(key)
            return True

    def release(self, key: PromptKey) -> None:
        """It was made, or could not be."""
        with self._lock:
            self._claimed.discard(key)

    def clear(self) -> None:
        """Forget everything, also what is on disk."""
        with self._lock:
            self._prompts.clear()
            self.bytes = 0
        if self._disk is not None:
            self._disk.clear()

    def __len__(self) -> int:
        return len(self._prompts)

    def _keep(self, key: PromptKey, prompt: Prompt) -> None:
        with self._lock:
            if key in self._prompts or prompt.size > self._limit:
                return
            self._prompts[key] = prompt
            self.bytes += prompt.size
            while self.bytes > self._limit:
                self.bytes -= self._prompts.popitem(last=False)[1].size

    @contextlib.contextmanager
    def _alone(self, key: PromptKey) -> Iterator[None]:
        with self._lock:
            lock, waiting = self._making.setdefault(key, (threading.Lock(), []))
            waiting.append(None)
        try:
            with lock:
                yield
        finally:
            with self._lock:
                waiting.pop()
                if not waiting:
                    self._making.pop(key, None)


_shared: list[PromptCache] = []


def shared_cache() -> PromptCache:
    """The cache of the process, with the settings of the environment and the settings file."""
    if not _shared:
        _shared.append(PromptCache())
    return _shared[0]


class _Disk:
    """A folder of prompts. Whatever fails here only means that a prompt is made anew."""

    def __init__(self, settings: PromptCacheSettings) -> None:
        self._folder = Path(settings.directory)
        self._limit = settings.disk_mb * 1_000_000
        self._warned = False
        self._number = 0

    def _path(self, key: PromptKey) -> Path:
        return self._folder / (hashlib.sha256(_plain(key)).hexdigest()[:40] + _SUFFIX)

    def read(self, key: PromptKey, format: AudioFormat, piece_ms: int) -> Prompt | None:
        path = self._path(key)
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            self._warn(error)
            return None
        found = _decode(data, key)
        if found is None:
            return None
        with contextlib.suppress(OSError):
            os.utime(path)  # what is used stays
        return Prompt.of(*found, format, piece_ms)

    def write(self, key: PromptKey, prompt: Prompt) -> None:
        path = self._path(key)
        self._number += 1
        beside = path.with_suffix(f".{os.getpid()}-{threading.get_ident()}-{self._number}.part")
        data = _encode(prompt, key)
        if len(data) > self._limit:
            return
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._make_room(len(data))
            try:
                beside.write_bytes(data)
                beside.replace(path)
            finally:
                beside.unlink(missing_ok=True)
        except OSError as error:
            self._warn(error)

    def _make_room(self, size: int) -> None:
        files: list[tuple[int, int, Path]] = []
        with os.scandir(self._folder) as entries:
            for entry in entries:
                if entry.name.endswith((_SUFFIX, ".part")):
                    with contextlib.suppress(FileNotFoundError):  # another process has made room
                        status = entry.stat()
                        files.append((status.st_mtime_ns, status.st_size, Path(entry.path)))
        total = sum(size for _, size, _ in files)
        for _, length, path in sorted(files):
            if total + size <= self._limit:
                break
            path.unlink(missing_ok=True)
            total -= length

    def clear(self) -> None:
        try:
            for path in list(self._folder.iterdir()):
                if path.name.endswith((_SUFFIX, ".part")):
                    path.unlink(missing_ok=True)
        except FileNotFoundError:
            pass
        except OSError as error:
            self._warn(error)

    def _warn(self, error: OSError) -> None:
        if not self._warned:
            self._warned = True
            log.warning("prompts are not kept on disk: %s (%s)", self._folder, error.strerror or error)


def _plain(key: PromptKey) -> bytes:
    return json.dumps(key, ensure_ascii=True).encode()


def _encode(prompt: Prompt, key: PromptKey) -> bytes:
    audio = prompt.audio
    words = [(word.text, word.start_ms, word.end_ms) for word in prompt.words]
    head = json.dumps({"key": key, "words": words, "size": len(audio)}).encode() + b"\n"
    body = head + audio
    return _MAGIC + hashlib.sha256(body).hexdigest().encode() + b"\n" + body


def _decode(data: bytes, key: PromptKey) -> tuple[bytes, list[Word]] | None:
    """Sound and words, if the file is whole and is the one that was looked for."""
    start = len(_MAGIC) + 65
    body = data[start:]
    if not data.startswith(_MAGIC) or data[len(_MAGIC) : start] != hashlib.sha256(body).hexdigest().encode() + b"\n":
        return None
    head, _, audio = body.partition(b"\n")
    facts: dict[str, Any] = json.loads(head)
    if facts["key"] != list(key) or facts["size"] != len(audio):
        return None
    return audio, [Word(*word) for word in facts["words"]]
