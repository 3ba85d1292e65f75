"""kill -9 in the middle of uploads, edits and deletions; run by build/proof-library.

One process of `glagol serve` after the other works on one library while a client uploads, edits and
deletes as fast as it can, and is killed at a random moment. The client remembers what was answered;
each new process must know exactly that, or one request more, whose answer the kill swallowed.
"""

from __future__ import annotations

import hashlib
import os
import random
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from asr.process import Server
from gateway.library.texts import transcript
from gateway.serving import data, serve

ROUNDS = int(os.environ.get("GLAGOL_LIBRARY_ROUNDS", "3"))
TUS = {"tus-resumable": "1.0.0"}
PIECE = 4096


@dataclass
class Client:
    """What a client did, and what of it was answered.

    Attributes:
        texts: Last text of the first segment that was answered, by recording.
        sent: Text that was sent after that, by recording; the kill may have swallowed its answer.
        deleted: Words of recordings whose deletion was answered.
        offset: Bytes of the upload that were answered.
    """

    seed: random.Random
    texts: dict[str, str] = field(default_factory=dict)
    sent: dict[str, str] = field(default_factory=dict)
    words: dict[str, str] = field(default_factory=dict)
    going: str = ""
    deleted: list[str] = field(default_factory=list)
    place: str = ""
    body: bytes = b""
    offset: int = 0
    edits: int = 0
    pieces: int = 0

    def work(self, server: Server) -> None:
        """Upload, edit and delete until the server is gone."""
        steps = (self.upload, self.edit, self.edit, self.edit, self.add, self.delete)
        with server.client() as client:
            try:
                while True:
                    self.seed.choice(steps)(client)
            except httpx.TransportError:
                return

    def add(self, client: httpx.Client) -> None:
        """A recording with a word of its own."""
        word = f"слово{self.seed.randrange(10**12)}"
        made = data(client.put("/ui/imports", content=transcript([(0.0, f"это {word}")])))
        self.texts[made["id"]] = f"это {word}"
        self.words[made["id"]] = word

    def edit(self, client: httpx.Client) -> None:
        """Another text for a segment."""
        if not self.texts:
            return
        identity = self.seed.choice(sorted(self.texts))
        text = f"это {self.words[identity]} {self.seed.randrange(10**9)}"
        self.sent[identity] = text
        operation = {"op": "set", "segment": 1, "text": text}
        body = {"seen": 1 << 30, "operation": operation}
        data(client.post(f"/ui/recordings/{identity}/edits", json=body))
        self.texts[identity] = text
        self.edits += 1

    def delete(self, client: httpx.Client) -> None:
        """A recording that is not wanted any more."""
        if len(self.texts) < 4:
            return
        self.going = self.seed.choice(sorted(self.texts))
        data(client.delete(f"/ui/recordings/{self.going}"))
        self._gone()

    def _gone(self) -> None:
        self.deleted.append(self.words[self.going])
        self.texts.pop(self.going)
        self.sent.pop(self.going, None)
        self.going = ""

    def upload(self, client: httpx.Client) -> None:
        """The next piece of an upload that lasts for all rounds."""
        if not self.place:
            self.body = self.seed.randbytes(PIECE * 64)
            begun = client.post("/ui/uploads", headers={**TUS, "upload-length": str(1 << 30)})
            self.place, self.offset = begun.headers["location"], 0
        kind = {"content-type": "application/offset+octet-stream"}
        at = self.offset % len(self.body)
        answer = client.patch(
            self.place,
            headers={**TUS, **kind, "upload-offset": str(self.offset)},
            content=self.body[at : at + PIECE],
        )
        assert answer.status_code == 204, answer.text
        self.offset = int(answer.headers["upload-offset"])
        self.pieces += 1

    def check(self, server: Server) -> None:
        """The new process knows what was answered, and of what was deleted nothing is left."""
        with server.client() as client:
            if self.going:
                answer = client.get(f"/ui/recordings/{self.going}")
                if answer.status_code == httpx.codes.NOT_FOUND:
                    self._gone()
                self.going = ""
            for identity, text in self.texts.items():
                shown = data(client.get(f"/ui/recordings/{identity}/text"))["segments"][0][5]
                assert shown in {text, self.sent.get(identity)}, identity
                self.texts[identity] = shown
                assert data(client.get(f"/ui/recordings/{identity}/source"))["verified"]
            if self.place:
                answer = client.head(self.place, headers=TUS)
                there = int(answer.headers["upload-offset"])
                assert self.offset <= there <= self.offset + PIECE
                part = (
                    server.state / "library/arriving" / self.place.rpartition("/")[2]
                ).read_bytes()
                whole = self.body * (1 + self.offset // len(self.body))
                assert hashlib.sha256(part[: self.offset]).digest() == (
                    hashlib.sha256(whole[: self.offset]).digest()
                )
                self.offset = there
        self.clean(server.state)

    def clean(self, state: Path) -> None:
        """No byte of a deleted word in any file; a new process finishes what was interrupted."""
        until = time.monotonic() + 30
        while found := self._left(state):
            assert time.monotonic() < until, found
            time.sleep(0.1)

    def _left(self, state: Path) -> list[str]:
        needles = [word.encode() for word in self.deleted[-50:]]
        needles += [ascii(word)[1:-1].encode() for word in self.deleted[-50:]]
        files = [
            path for path in state.rglob("*") if path.is_file() and "arriving" not in path.parts
        ]
        return [str(path) for path in files if any(n in path.read_bytes() for n in needles)]


@pytest.fixture
def client() -> Iterator[Client]:
    seed = int(os.environ.get("GLAGOL_SEED", "1"))
    made = Client(random.Random(seed))  # noqa: S311 - which step comes next
    yield made
    done = f"{made.edits} edits, {made.pieces} pieces, {len(made.deleted)} deletions"
    print(f"\nseed {seed}, {ROUNDS} kills: {done}")  # noqa: T201 - what the proof measured


def test_nothing_answered_is_lost_and_nothing_deleted_is_left(
    client: Client, home: Path, tmp_path: Path
) -> None:
    """Rounds of work and kill -9, each checked by the next process."""
    for _ in range(ROUNDS):
        server = serve(home, tmp_path, wait=False)
        client.check(server)
        worker = threading.Thread(target=client.work, args=[server])
        worker.start()
        time.sleep(client.seed.uniform(0.3, 1.5))
        server.kill()
        worker.join()
    server = serve(home, tmp_path, wait=False)
    client.check(server)
    assert client.edits
    assert client.deleted
    assert server.stop() == 0
