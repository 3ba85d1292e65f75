"""`glagol models add|bump|retire|use|history|rollback`, on homes with real files and stores."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cli.running import Result
from glagol.cli.main import main
from glagol.core.errors import IntegrityError
from glagol.core.files import write_atomic
from glagol.models import changelog
from glagol.models.build_model import BuildOrder
from glagol.registry.manifest import edit
from glagol.registry.manifest.read import Manifest, Model, canonical, parse
from glagol.registry.registry import Registry
from glagol.registry.store import Store
from registry.made import artifact, asr_model, manifest, variant

Run = Callable[..., Result]
ONE, TWO, EAR = b"graph one", b"graph two", b"vad graph"
LOG = "# Changelog\n\n## [Unreleased]\n\n### Added\n- manifest_version 1: all.\n\n## [0.1.0]\n"


@pytest.fixture
def workshop(tmp_path: Path) -> Path:
    """Two built recognisers and a detector, all in the store; a changelog."""
    home = tmp_path / "a home"
    home.mkdir()
    store = Store(home / "store")
    for data in (ONE, TWO, EAR):
        store.add_bytes(data)
    models = (
        asr_model("one", variant("cpu-fp32", artifact(ONE))),
        asr_model("two", variant("cpu-fp32", artifact(TWO))),
        asr_model("idea"),
    )
    (home / "manifest.json").write_bytes(canonical(manifest(*models)))
    (home / "CHANGELOG.md").write_text(LOG)
    return home


def now(home: Path) -> Manifest:
    """The manifest in force, which must be canonical."""
    data = (home / "manifest.json").read_bytes()
    assert canonical(parse(data)) == data
    return parse(data)


def files(home: Path) -> dict[str, bytes]:
    """Every file of a home."""
    return {str(p.relative_to(home)): p.read_bytes() for p in home.rglob("*") if p.is_file()}


def gone(home: Path, data: bytes) -> Path:
    """Take a blob out of the store; where it was."""
    path = Store(home / "store").path_of(hashlib.sha256(data).hexdigest())
    path.unlink()
    return path


def test_use_history_rollback(glagol: Run, workshop: Path) -> None:
    """A switch and its way back: three versions, three lines, the first manifest kept as it was."""
    first = (workshop / "manifest.json").read_bytes()
    assert glagol("models", "use", "two", "--home", workshop).status == 0
    assert (now(workshop).manifest_version, now(workshop).defaults.asr) == (2, "two")
    result = glagol("models", "rollback", "--home", workshop)
    assert (result.status, result.err) == (0, "")
    assert now(workshop).manifest_version == 3
    assert now(workshop).defaults == parse(first).defaults
    assert now(workshop).models == parse(first).models
    kept = workshop / f"store/manifests/{hashlib.sha256(first).hexdigest()}.json"
    assert kept.read_bytes() == first
    rows = json.loads(glagol("models", "history", "--json", "--home", workshop).out)
    assert [(row["manifest_version"], row["current"]) for row in rows] == [
        (1, False),
        (2, False),
        (3, True),
    ]
    assert (
        rows[2]["sha256"] == hashlib.sha256((workshop / "manifest.json").read_bytes()).hexdigest()
    )
    assert rows[1]["changes"] == "default asr: `one` -> `two`"
    assert glagol("models", "history", "--home", workshop).out.splitlines()[2].startswith("*    3")
    text = (workshop / "CHANGELOG.md").read_text()
    assert "### Changed\n- manifest_version 2: default asr: `one` -> `two`.\n" in text
    assert "- manifest_version 3: models and defaults of manifest_version 1 again" in text
    assert text.endswith("\n\n## [0.1.0]\n")
    listed = json.loads(glagol("models", "list", "--json", "--home", workshop).out)["models"]
    assert next(row for row in listed if row["id"] == "one")["default_for"] == ["asr"]


def test_a_preset_moves_and_comes_back(glagol: Run, workshop: Path) -> None:
    """One name, two models in turn; the default stays, and a rollback moves the name back."""
    assert glagol("models", "use", "one", "--as", "meetings", "--home", workshop).status == 0
    assert glagol("models", "use", "two", "--as", "meetings", "--home", workshop).status == 0
    named = {model.id: model.aliases for model in now(workshop).models}
    assert ("meetings" in named["two"], "meetings" in named["one"]) == (True, False)
    assert now(workshop).defaults.asr == "one"
    text = (workshop / "CHANGELOG.md").read_text()
    assert "`one` no longer called `meetings`; `two` now called `meetings`." in text
    again = glagol("models", "use", "two", "--as", "meetings", "--home", workshop)
    assert (again.status, "already" in again.err) == (2, True)
    assert glagol("models", "rollback", "--home", workshop).status == 0
    named = {model.id: model.aliases for model in now(workshop).models}
    assert ("meetings" in named["two"], "meetings" in named["one"]) == (False, True)


def test_dry_run_writes_nothing(glagol: Run, workshop: Path) -> None:
    """The difference of both files, as a patch."""
    before = files(workshop)
    for command in (
        ("add", "new", "--engine", "gigaam", "--version", "1", "--license", "MIT", "--decoding",
         "ctc", "--source", "https://host.invalid/w.bin"),
        ("bump", "one", "--version", "2"),
        ("retire", "two"),
        ("use", "two"),
    ):  # fmt: skip
        result = glagol("models", *command, "--dry-run", "--home", workshop)
        assert result.status == 0, result.err
        assert '\n+  "manifest_version": 2,\n' in result.out
        assert "\n+- manifest_version 2: " in result.out
        assert files(workshop) == before


@pytest.mark.parametrize(
    ("command", "status", "said"),
    [
        ("retire one", 2, "default for asr"),
        ("retire unknown", 2, "unknown"),
        ("use idea", 4, "no digests"),
        ("use vad --for asr", 2, "has the role vad, not asr"),
        ("use one --as two", 2, "two"),
        ("use one", 2, "already"),
        ("bump one --version 1", 2, "already"),
        ("bump one --version 2 --source absent.bin", 2, "absent.bin"),
        ("add one --engine gigaam --decoding ctc {} --source http://h.invalid/w", 2, "'one'"),
        ("add new --engine kaldi {} --source http://h.invalid/w", 2, "kaldi"),
        ("add new --engine gigaam {} --source http://h.invalid/w", 2, "decoding"),
        ("add new --engine gigaam --decoding vad {} --source http://h.invalid/w", 2, "decoding"),
        ("add new --engine silero {} --source http://h.invalid/w#sha256=12", 2, "sha256"),
        ("rollback", 2, "archive"),
        ("rollback 7", 2, "archive"),
        ("rollback --from manifest.json", 2, "same models"),
    ],
)
def test_refusals_change_nothing(
    glagol: Run,
    workshop: Path,
    monkeypatch: pytest.MonkeyPatch,
    command: str,
    status: int,
    said: str,
) -> None:
    """What the checks refuse is refused here, by the table of errors, with no file touched."""
    monkeypatch.chdir(workshop)
    before = files(workshop)
    arguments = command.format("--version 1 --license MIT").split()
    result = glagol("models", *arguments, "--home", workshop)
    assert result.status == status, result
    assert said in result.err
    assert files(workshop) == before


def test_add_pins_what_is_here(glagol: Run, workshop: Path, tmp_path: Path) -> None:
    """Files are hashed, an address of the same name joins its file; no path of the machine stays.

    An engine that runs upstream's own bytes gets them into the store and can be used at once.
    """
    ear = tmp_path / "elsewhere/ear.onnx"
    ear.parent.mkdir()
    ear.write_bytes(b"another ear")
    facts = ("--version", "9", "--license", "MIT", "--home", workshop)
    arguments = ("models", "add", "ear", "--engine", "silero", *facts, "--source", ear)
    assert "--repo" in glagol(*arguments).err
    address = "https://host.invalid/dir/ear.onnx"
    assert glagol(*arguments, "--source", address, "--alias", "Ear").status == 0
    model = now(workshop).models[-1]
    (file,) = model.source.files
    (found,) = model.variants[0].artifacts
    assert (file.path, file.urls, model.source.repo) == ("ear.onnx", (address,), address)
    assert found.sha256 == file.sha256 == hashlib.sha256(b"another ear").hexdigest()
    assert glagol("models", "verify", "ear", "--home", workshop).status == 0
    assert str(tmp_path) not in (workshop / "manifest.json").read_text()
    assert glagol("models", "use", "ear", "--home", workshop).status == 0
    inside = workshop / "models/new/weights.safetensors"
    inside.parent.mkdir(parents=True)
    inside.write_bytes(b"weights")
    golden = (inside.with_name("clip.flac"), inside.with_name("clip.txt"))
    for path in golden:
        path.write_bytes(path.name.encode())
    more = ("models", "add", "new", "--engine", "gigaam", *facts, "--decoding", "rnnt",
            "--language", "ru", "--golden", *golden, "--source", inside, "--source",
            f"http://host.invalid/tokenizer.model#sha256={'3' * 64}")  # fmt: skip
    assert glagol(*more).status == 0
    model = now(workshop).models[-1]
    assert [(f.path, f.sha256) for f in model.source.files] == [
        ("models/new/weights.safetensors", hashlib.sha256(b"weights").hexdigest()),
        ("tokenizer.model", "3" * 64),
    ]
    assert [v.id for v in model.variants] == ["cpu-fp32", "cpu-int8"]
    assert model.golden is not None
    assert model.golden.audio == "models/new/clip.flac"
    golden[1].write_bytes(b"other words")
    assert glagol("models", "bump", "new", "--version", "10", "--home", workshop).status == 0
    again = now(workshop).models[-1].golden
    assert again is not None
    assert again.audio_sha256 == model.golden.audio_sha256
    assert again.transcript_sha256 == hashlib.sha256(b"other words").hexdigest()
    assert now(workshop).manifest_version == 5
    assert (
        "### Added\n- manifest_version 1: all.\n- manifest_version 2: `ear` 9"
        in (workshop / "CHANGELOG.md").read_text()
    )


def test_bump_hashes_the_home_again(glagol: Run, workshop: Path) -> None:
    """Changed weights: other digests, nothing built. A second model of the file is pointed at."""
    weights = workshop / "weights.safetensors"
    weights.write_bytes(b"trained longer")
    result = glagol("models", "bump", "one", "--version", "2", "--home", workshop)
    assert result.status == 0
    assert "two" in result.err
    (model,) = [m for m in now(workshop).models if m.id == "one"]
    assert model.source.files[0].sha256 == hashlib.sha256(b"trained longer").hexdigest()
    assert (model.version, model.variants[0].artifacts, model.builder) == ("2", (), None)
    weights.unlink()
    assert glagol("models", "bump", "one", "--version", "3", "--home", workshop).status == 0
    (model,) = [m for m in now(workshop).models if m.id == "one"]
    assert model.source.files[0].sha256 is None
    assert model.source.files[0].unpinned
    assert glagol("models", "rollback", "1", "--home", workshop).status == 0
    assert now(workshop).models[0].variants[0].artifacts[0] == artifact(ONE)


def test_rollback_needs_every_artifact(glagol: Run, workshop: Path, tmp_path: Path) -> None:
    """Missing or altered: exit 4 with the digest and the remedy, which then works."""
    usb = tmp_path / "usb"
    shutil.copytree(workshop / "store", usb, copy_function=shutil.copy)
    glagol("models", "use", "two", "--home", workshop)
    assert glagol("models", "retire", "one", "--home", workshop).status == 0
    path = gone(workshop, ONE)
    before = files(workshop)
    for damage in (None, b"graph ONE"):
        if damage:
            path.write_bytes(damage)
            before = files(workshop)
        result = glagol("models", "rollback", "1", "--home", workshop)
        assert result.status == 4
        assert hashlib.sha256(ONE).hexdigest() in result.err
        assert "--mirror" in result.err
        assert files(workshop) == before
    arguments = ("models", "rollback", "1", "--mirror", usb.as_uri(), "--home", workshop)
    assert glagol(*arguments).status == 0
    assert now(workshop).defaults.asr == "one"
    assert path.read_bytes() == ONE


def test_an_archive_that_lies_is_not_used(glagol: Run, workshop: Path) -> None:
    """A kept manifest must have the digest that its name says; --from takes one from elsewhere."""
    old = workshop / "old.json"
    shutil.copy(workshop / "manifest.json", old)
    glagol("models", "use", "two", "--home", workshop)
    kept = workshop / f"store/manifests/{hashlib.sha256(old.read_bytes()).hexdigest()}.json"
    kept.write_bytes(kept.read_bytes().replace(b'"MIT"', b'"BSD"'))
    result = glagol("models", "rollback", "--home", workshop)
    assert result.status == 2
    assert kept.name in result.err
    assert glagol("models", "rollback", "--from", old, "--home", workshop).status == 0
    assert (now(workshop).manifest_version, now(workshop).defaults.asr) == (3, "one")


def test_two_manifests_of_one_number(glagol: Run, workshop: Path) -> None:
    """Histories that parted: the number is ambiguous, the digest is not."""
    first = (workshop / "manifest.json").read_bytes()
    glagol("models", "use", "two", "--home", workshop)
    wanted = hashlib.sha256((workshop / "manifest.json").read_bytes()).hexdigest()
    (workshop / "manifest.json").write_bytes(first)
    glagol("models", "retire", "idea", "--home", workshop)
    glagol("models", "retire", "two", "--home", workshop)
    result = glagol("models", "rollback", "2", "--home", workshop)
    assert result.status == 2
    assert wanted in result.err
    assert glagol("models", "rollback", wanted[:12], "--home", workshop).status == 0
    assert (now(workshop).manifest_version, now(workshop).defaults.asr) == (4, "two")


def test_an_edit_killed_before_its_end_can_run_again(
    glagol: Run, workshop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The manifest is written last; the line of the changelog is not written twice."""

    def killed(path: Path, data: bytes) -> None:
        if path.name == "manifest.json":
            raise KeyboardInterrupt
        write_atomic(path, data)

    before = (workshop / "manifest.json").read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr("glagol.models.history.write_atomic", killed)
        assert glagol("models", "use", "two", "--home", workshop).status == 130
    assert (workshop / "manifest.json").read_bytes() == before
    assert glagol("models", "use", "two", "--home", workshop).status == 0
    assert (workshop / "CHANGELOG.md").read_text().count("manifest_version 2") == 1


def test_a_home_without_changelog_gets_one(glagol: Run, workshop: Path) -> None:
    """An installed home has none; what was done there is still written down."""
    (workshop / "CHANGELOG.md").unlink()
    assert glagol("models", "use", "two", "--home", workshop).status == 0
    text = (workshop / "CHANGELOG.md").read_text()
    assert re.search(r"## \[Unreleased\]\n\n### Changed\n- manifest_version 2: ", text)


sections = st.sampled_from(["Added", "Changed", "Removed"])
blocks = st.lists(
    st.sampled_from(
        ["# Changelog", "", "text", "## [Unreleased]", "## [1.0.0]", "### Added", "### Removed"]
    ),
    max_size=12,
)


@example(["## [Unreleased]", "### Added", "### Removed", "### Removed"], "Added", "x")
@given(blocks, sections, st.text("аб `-", min_size=1, max_size=200))
def test_a_changelog_only_grows(block: list[str], section: str, line: str) -> None:
    """Every old line stays in its order; the item stands once, under its section of Unreleased."""
    text = "".join(f"{row}\n" for row in block)
    new = changelog.insert(text, section, f"item {line}.")
    rest = iter(new.splitlines())
    assert all(row in rest for row in block)
    assert changelog.insert(new, section, f"item {line}.") == new
    assert new.count("- item") == 1
    before = new[: new.index("- item")].splitlines()
    heads = [row for row in before if row.startswith("## ")]
    assert heads[-1] == "## [Unreleased]"
    assert [row for row in before if row.startswith("### ")][-1] == f"### {section}"


def test_main_reaches_every_command(capfd: pytest.CaptureFixture[str]) -> None:
    """They are where the help says."""
    assert main(["models", "--help"]) == 0
    out = capfd.readouterr().out
    for name in ("add", "bump", "retire", "use", "history", "rollback"):
        assert f"\n  {name} " in out


def test_a_recorded_build_is_written_down(
    glagol: Run, workshop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What `build --record` does to the manifest gets its line and its place in the archive.

    Also when the build fails after it wrote something.
    """
    first = (workshop / "manifest.json").read_bytes()

    def build_one(model: Model, registry: Registry, order: BuildOrder, _: object) -> Iterator[str]:
        changed = edit.bump(registry.manifest, model.id, "2", model.source.files, built=True)
        (order.home / "manifest.json").write_bytes(canonical(changed))
        yield f"{model.id}: 1 files"
        raise IntegrityError("artifact_altered", "the second variant differs", "look at it")

    monkeypatch.setattr("glagol.models.build_model.build_one", build_one)
    result = glagol("models", "build", "one", "--record", "--home", workshop)
    assert (result.status, result.out) == (4, "one: 1 files\n")
    text = (workshop / "CHANGELOG.md").read_text()
    assert "### Changed\n- manifest_version 2: `one` 1 -> 2.\n" in text
    assert glagol("models", "rollback", "1", "--home", workshop).status == 0
    assert now(workshop).models == parse(first).models
