"""Runs the commands of README.md and docs/guides in a fresh clone, as a reader would.

    build/proof-docs [PAGE...]

A fenced block `sh` is a script of bash, `python` one of Python; all of a page run in order, in the
clone, with the files of `materials`. Words behind the language say what a block needs:

    serve[=PORT] starts a server (8080), which runs until the page ends or the next such block
    needs=A,B    is skipped, with its reason, where a row of `NEEDS` says that A or B is not here
    again        is left out when README.md, which has the same command, is among the pages

A block that needs no `index` runs without a network, in a network namespace of its own, where
the system allows one.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

WORD = r"needs=[a-z,]+|serve(=\d+)?|again"
READY_S = 90
BLOCK_S = 240
LOOPBACK = """
import fcntl, socket, struct, time
with socket.socket() as s:
    fcntl.ioctl(s, 0x8914, struct.pack("16sH14x", b"lo", 0x41))
print("up", flush=True)
time.sleep(86400)
"""


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _has(name: str) -> Callable[[], bool]:
    return lambda: shutil.which(name) is not None


def _index() -> bool:
    """Whether uv finds a small pinned wheel where this machine's packages come from."""
    lock = Path(__file__).resolve().parents[2] / "lock" / "asr-cpu.txt"
    pin = re.findall(r"^click==\S+", lock.read_text(encoding="utf-8"), re.MULTILINE)
    with tempfile.TemporaryDirectory() as folder:
        command = ["uv", "pip", "install", "-q", "--no-deps", "--target", folder, *pin]
        return _quiet([*command, "--python", sys.executable, "--refresh"])


def _quiet(command: list[str]) -> bool:
    try:
        done = subprocess.run(command, capture_output=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


NEEDS: dict[str, tuple[str, Callable[[], bool]]] = {
    "index": ("no package index is in reach", _index),
    "weights": (
        "the published GigaAM weights are fetched only with DOCS_WEIGHTS=yes",
        lambda: os.environ.get("DOCS_WEIGHTS") == "yes",
    ),
    "docker": ("docker answers not", lambda: _quiet(["docker", "info"])),
    "podman": ("podman is absent", _has("podman")),
    "cluster": ("no cluster of Kubernetes answers", lambda: _quiet(["kubectl", "version"])),
    "cuda": ("no NVIDIA card is here", lambda: _quiet(["nvidia-smi"])),
    "llm": ("no language model serves here", lambda: False),
    "nginx": ("nginx is absent", _has("nginx")),
    "caddy": ("caddy is absent", _has("caddy")),
    "promtool": ("promtool is absent", _has("promtool")),
    "systemd": ("the command changes the system", lambda: False),
    "person": ("the command waits for a person, a browser or a microphone", lambda: False),
    "values": ("the command has names of yours in it", lambda: False),
}


@dataclass(frozen=True)
class Block:
    """Commands of one fence.

    Attributes:
        page: path below the checkout.
        line: of the fence.
        language: `sh` or `python`.
        words: what stands behind it.
        text: the commands.
    """

    page: str
    line: int
    language: str
    words: tuple[str, ...]
    text: str

    @property
    def needs(self) -> tuple[str, ...]:
        """Rows of NEEDS."""
        found = [w.removeprefix("needs=") for w in self.words if w.startswith("needs=")]
        return tuple(name for part in found for name in part.split(","))

    @property
    def port(self) -> str:
        """Of the server that it starts; nothing where it starts none."""
        found = [word.partition("=")[2] or "8080" for word in self.words if word[:5] == "serve"]
        return "".join(found)

    @property
    def place(self) -> str:
        """PAGE:LINE."""
        return f"{self.page}:{self.line}"


def blocks(page: str, text: str) -> Iterator[Block]:
    """The blocks of a page that have commands.

    Raises:
        ValueError: a word behind the language, or a need, is unknown.
    """
    pattern = re.compile(r"^```(sh|python)\b([^\n]*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
    for found in pattern.finditer(text):
        line = text.count("\n", 0, found.start()) + 1
        block = Block(page, line, found[1], tuple(found[2].split()), found[3])
        unknown = {*block.needs} - {*NEEDS}
        words = [w for w in block.words if not re.fullmatch(WORD, w)]
        if unknown or words:
            raise ValueError(f"{block.place}: unknown: {', '.join([*unknown, *words])}")
        yield block


class Reader:
    """A person with a fresh clone.

    Attributes:
        clone: the checkout that the commands run in.
        enter: command words that lead into the network namespace.
    """

    def __init__(self, root: Path, work: Path) -> None:
        self.root, self.work = root, work
        self.clone = work / "glagol"
        subprocess.run(["git", "clone", "-q", str(root), str(self.clone)], check=True)
        found = subprocess.run(
            ["git", "-C", str(self.clone), "rev-parse", "HEAD"], capture_output=True, check=True
        )
        self.commit = found.stdout.decode().strip()
        self.home, self.saved = work / "home", work / "variables"
        bin_folder = self.home / ".local" / "bin"
        bin_folder.mkdir(parents=True)
        # the README's reader has no `glagol` on PATH until a page installs it; guides assume it
        (work / "bin").mkdir()
        (work / "bin" / "glagol").symlink_to(self.clone / "glagol")
        kept = ("PIP_", "UV_", "SSL_", "DOCS_", "HTTP_PROXY", "HTTPS_PROXY", "GLAGOL_PYTHON")
        cache = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
        tools = f"{self.clone}/.tools/bin"
        self.environment = {
            **{name: value for name, value in os.environ.items() if name.startswith(kept)},
            "UV_CACHE_DIR": os.environ.get("UV_CACHE_DIR", f"{cache}/uv"),
            "HOME": str(self.home),
            "LANG": "C.UTF-8",
            "PATH": f"{bin_folder}:{work}/bin:{tools}:{os.environ['PATH']}",
        }
        self.server: subprocess.Popen[bytes] | None = None
        self.holder: subprocess.Popen[bytes] | None = None
        self.enter: list[str] = []
        self._isolate()

    def _isolate(self) -> None:
        """A network namespace that has loopback alone; without one, the machine's own network."""
        new = ["unshare", "-n"] if os.geteuid() == 0 else ["unshare", "-rn"]
        try:
            self.holder = subprocess.Popen(
                [*new, sys.executable, "-c", LOOPBACK], stdout=subprocess.PIPE
            )
        except OSError:
            return
        if self.holder.stdout is not None and self.holder.stdout.readline() == b"up\n":
            user = [] if os.geteuid() == 0 else ["-U", "--preserve-credentials"]
            self.enter = ["nsenter", "-t", str(self.holder.pid), *user, "-n"]

    def materials(self) -> None:
        """Recordings under the names that pages use, from the embedded model's clip."""
        clip = self.clone / "models" / "gigaam-nano" / "golden" / "clip.flac"
        for name in ("recording.flac", "meeting.flac", "recordings/a.flac", "recordings/b/c.flac"):
            (self.clone / name).parent.mkdir(exist_ok=True)
            shutil.copy(clip, self.clone / name)
        script = (
            "import av\n"
            "given = av.open('recording.flac')\n"
            "with av.open('call.wav', 'w') as call:\n"
            "    out = call.add_stream('pcm_s16le', rate=16000, layout='stereo')\n"
            "    to = av.AudioResampler('s16', 'stereo', 16000)\n"
            "    for frame in (*given.decode(audio=0), None):\n"
            "        for part in to.resample(frame):\n"
            "            call.mux(out.encode(part))\n"
            "    call.mux(out.encode(None))\n"
        )
        subprocess.run([sys.executable, "-c", script], cwd=self.clone, check=True)

    def run(self, block: Block) -> int:
        """Run one block; its exit status, 124 for one that did not end."""
        offline = self.enter if "index" not in block.needs else []
        if block.language == "python":
            words = [str(self.root / "build" / "python"), "dev", "-c", block.text]
        else:
            before = f"set -a; [ ! -e {self.saved} ] || . {self.saved}; set -eu; set -o pipefail\n"
            after = f"\nexport -p | grep -v 'declare -[a-z]*r' >{self.saved}"
            words = ["bash", "-c", before + block.text + after]
        started = subprocess.Popen(
            [*offline, *words],
            cwd=self.clone,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        if block.port:
            self.stop()
            self.server = started
            return self._ready(started, block.port)
        try:
            return started.wait(BLOCK_S)
        except subprocess.TimeoutExpired:
            os.killpg(started.pid, signal.SIGKILL)
            return 124

    def _ready(self, server: subprocess.Popen[bytes], port: str) -> int:
        asking = ["curl", "-sf", "-o", os.devnull, f"http://localhost:{port}/ready"]
        limit = time.monotonic() + READY_S
        while time.monotonic() < limit:
            if server.poll() is not None:
                return server.returncode or 1
            if subprocess.run([*self.enter, *asking], check=False).returncode == 0:
                return 0
            time.sleep(0.3)
        return 124

    def stop(self) -> None:
        """End the server of the page."""
        if self.server is not None:
            if self.server.poll() is None:
                os.killpg(self.server.pid, signal.SIGTERM)
            try:
                self.server.wait(40)
            except subprocess.TimeoutExpired:
                os.killpg(self.server.pid, signal.SIGKILL)
        self.server = None

    def tidy(self) -> None:
        """What a page left in the clone and in its variables is not the next page's."""
        self.stop()
        self.saved.unlink(missing_ok=True)
        clean = ["git", "-C", str(self.clone)]
        subprocess.run([*clean, "clean", "-fdq"], check=True)
        subprocess.run([*clean, "reset", "-q", "--hard", self.commit], check=True)
        shutil.rmtree(self.home / ".local" / "state", ignore_errors=True)


def main(root: Path, pages: list[str]) -> int:
    """Run the pages; 0 when every command that could be run ended with 0."""
    began = time.monotonic()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that nothing is left behind
    if not pages:
        guides = sorted((root / "docs" / "guides").glob("*.md"))
        english = [str(p.relative_to(root)) for p in guides if not p.name.endswith(".ru.md")]
        pages = ["README.md", *english]
    failed: list[str] = []
    ran, here = 0, dict[str, bool]()
    work = Path(tempfile.mkdtemp(prefix="glagol-docs-"))
    reader = Reader(root, work)
    if not reader.enter:
        _say("SKIPPED: docs: no network namespace: commands ran on this machine's network")
    try:
        if "README.md" not in pages:  # whose first command does it
            reader.run(Block("setup", 0, "sh", ("needs=index",), "./just setup"))
        for page in pages:
            _say(f"== docs: {page} ({time.monotonic() - began:.0f}s)")
            reader.materials()
            for block in blocks(page, (reader.clone / page).read_text(encoding="utf-8")):
                for name in set(block.needs) - here.keys():
                    here[name] = NEEDS[name][1]()
                lacking = [NEEDS[name][0] for name in block.needs if not here[name]]
                if lacking:
                    _say(f"SKIPPED: docs: {block.place}: {lacking[0]}")
                elif "again" not in block.words or "README.md" not in pages:
                    _say(f"-- {block.place}\n{block.text.rstrip()}")
                    started = time.monotonic()
                    status = reader.run(block)
                    _say(f"   {block.place}: {time.monotonic() - started:.0f} s")
                    ran += 1
                    if status:
                        failed.append(f"{block.place} (status {status})")
                        _say(f"FAILED: docs: {failed[-1]}")
                        break
            reader.tidy()
    finally:
        reader.stop()
        if reader.holder is not None:
            reader.holder.kill()
        subprocess.run(["rm", "-rf", str(work)], check=False)  # faster than shutil on many links
    _say(f"== docs: {ran} blocks ran in {time.monotonic() - began:.0f} s, {len(failed)} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]).resolve(), sys.argv[2:]))
