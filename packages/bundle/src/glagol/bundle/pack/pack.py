"""Pack a bundle: one tar whose bytes depend on commit, locks and manifest only."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from glagol.bundle.errors import error
from glagol.bundle.licences import classify
from glagol.bundle.pack import sbom
from glagol.bundle.pack.index import Index, front
from glagol.bundle.pack.plan import PYTHONS, plan
from glagol.bundle.pack.sources import Bytes, File, made, unpacked_bytes
from glagol.bundle.verify import BLOCK, CHUNK, INDEX, SIGNATURE, SUMS, Entry, Progress
from glagol.bundle.write import Written, member_blocks, write_file

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from glagol.bundle.pack.plan import Plan
    from glagol.bundle.pack.sources import Sources


@dataclass(frozen=True, slots=True)
class Contents:
    """A bundle that is ready to be written.

    Attributes:
        name: top folder and stem of the file.
        sums: SHA256SUMS.
        index: bundle.json.
        members: every other file.
        questions: how many rows of licences/REVIEW.tsv a person has to decide.
    """

    name: str
    sums: bytes
    index: bytes
    members: tuple[Bytes | File, ...]
    questions: int

    @property
    def id(self) -> str:
        """SHA-256 of SHA256SUMS."""
        return hashlib.sha256(self.sums).hexdigest()


def prepare(
    sources: Sources,
    variant: str,
    system: str,
    models: tuple[str, ...] = (),
    pythons: tuple[str, ...] = PYTHONS,
    also: tuple[str, ...] = (),
) -> tuple[Plan, Contents]:
    """Plan a bundle, find its files, and make what is made: licences, bill, provenance, lists.

    Args:
        sources: commit, wheels, stores.
        variant: `cpu`, `cuda` or `full`.
        system: as in `x86_64-linux`.
        models: ids to carry; empty means those that come along by themselves (`Inputs`).
        pythons: for which Pythons wheels are carried.
        also: ids to carry beside these models.

    Returns:
        The plan and the contents; nothing is written.

    Raises:
        GlagolError: whatever `plan`, `Sources.take` and `licences` raise.
    """
    sources.checkout.refuse_other_pins()
    what = plan(sources.inputs(variant, system, models, pythons, also))
    taken = sources.take(what.steps)
    by_path = {member.entry.path: member for member in taken}
    manifest = by_path["src/manifest.json"].entry.sha256
    _check_golden(what, by_path)
    found = _licences(what, by_path)
    own = tuple(m.entry for m in taken if m.entry.path.startswith("src/packages/"))
    inputs = sbom.SbomInputs(what, found, sources.checkout.commit, manifest, own)
    texts = {
        f"licences/{licence.subject}/{name.rpartition('dist-info/')[2]}": data
        for licence in found.values()
        for name, data in licence.texts.items()
    }
    texts["licences/LIST.tsv"] = classify.table(found.values())
    texts["licences/REVIEW.tsv"] = classify.questions(found.values())
    extra = [made(path, data) for path, data in texts.items()]
    extra.append(made("sbom.cdx.json", sbom.bill(inputs)))
    entries = [member.entry for member in (*taken, *extra)]
    extra.append(made("provenance.json", sbom.provenance(inputs, entries)))
    unpacked, sources_bytes = max(
        unpacked_bytes(_installed(what, by_path, python)) for python in pythons
    )
    index = Index(
        release=what.release,
        requires=what.requires,
        acceptance=what.acceptance,
        lock=what.lock,
        uv=what.uv,
        unpacked_bytes=unpacked,
        sources_bytes=sources_bytes,
        left_out=what.left_out,
        llm_lock=what.llm_lock,
    )
    members = sorted((*taken, *extra), key=lambda member: member.entry.path)
    sums, data = front(index, [member.entry for member in members])
    questions = sum(len(licence.remarks) for licence in found.values())
    return what, Contents(what.release.name, sums, data, tuple(members), questions)


def pack(contents: Contents, signature: bytes | None, folder: Path, stream: Any = None) -> Written:
    """Write NAME.tar and NAME.tar.sha256, each whole or not at all.

    Args:
        contents: of `prepare`.
        signature: over `contents.sums`; None leaves the bundle unsigned.
        folder: where to; made when absent.
        stream: gets progress lines.

    Returns:
        The tar.

    Raises:
        IntegrityError: `bundle_altered`, a file changed while it was packed.
        HostError: `disk_full` or `host_io`.
    """
    total = sum(member.entry.size for member in contents.members)
    progress = Progress("pack", total, stream)
    first = [(SUMS, contents.sums), (SIGNATURE, signature), (INDEX, contents.index)]

    def blocks() -> Iterator[bytes]:
        for name, data in first:
            if data is not None:
                yield from member_blocks(contents.name, _entry(name, data), iter([data]))
        for member in contents.members:
            chunks = iter([member.data]) if isinstance(member, Bytes) else _read(member)
            yield from member_blocks(contents.name, member.entry, _counted(chunks, progress))
        yield bytes(2 * BLOCK)

    return write_file(folder / f"{contents.name}.tar", blocks())


def _installed(what: Plan, by_path: dict[str, Bytes | File], python: str) -> list[Path]:
    """The wheels that one Python's environments install; those of both environments twice."""
    found = []
    for step in what.wheels:
        member = by_path[step.path]
        if isinstance(member, File) and python in step.wheel.pythons:
            found += [member.path] * (2 if step.path in what.shared else 1)
    return found


def _entry(path: str, data: bytes) -> Entry:
    return Entry(path, "", len(data))


def _read(member: File) -> Iterator[bytes]:
    """The file again; it was hashed before, so it must still hash to that."""
    digest = hashlib.sha256()
    with member.path.open("rb") as file:
        while data := file.read(CHUNK):
            digest.update(data)
            yield data
    if digest.hexdigest() != member.entry.sha256:
        raise error(
            "bundle_altered", f"{member.path} changed while it was packed", "pack once more"
        )


def _counted(chunks: Iterable[bytes], progress: Progress) -> Iterator[bytes]:
    for data in chunks:
        yield data
        progress.add(len(data))


def _check_golden(what: Plan, by_path: dict[str, Bytes | File]) -> None:
    for model, _ in what.models:
        if model.golden is None:
            continue
        pins = {
            model.golden.audio: model.golden.audio_sha256,
            model.golden.transcript: model.golden.transcript_sha256,
        }
        for path, sha256 in pins.items():
            if by_path[f"src/{path}"].entry.sha256 != sha256:
                raise error(
                    "artifact_altered",
                    f"{path} does not have the digest that the manifest gives: {sha256}",
                    "commit the clip and the manifest that belong together",
                )


def _licences(what: Plan, by_path: dict[str, Bytes | File]) -> dict[str, classify.Licence]:
    found = []
    for step in what.wheels:
        member = by_path[step.path]
        if isinstance(member, File):
            found.append(classify.of_wheel(member.path, step.wheel.name, step.wheel.version))
    # Models of one source share its licence text, wherever it lies.
    sources = {model.id: model.source.repo for model, _ in what.models}
    for model, _ in what.models:
        kin = [model.id, *(name for name in sources if sources[name] == model.source.repo)]
        files: dict[str, bytes] = {}
        for path, member in by_path.items():
            if isinstance(member, Bytes) and path.startswith(
                tuple(f"src/models/{n}/" for n in kin)
            ):
                files[path.removeprefix("src/models/")] = member.data
        own = {p: d for p, d in files.items() if p.startswith(f"{model.id}/")}
        found.append(classify.of_model(model.id, model.license, own, files))
    return {licence.subject: licence for licence in sorted(found, key=lambda item: item.subject)}
