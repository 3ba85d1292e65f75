"""What goes into a bundle: decided by manifest, locks and listing alone."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from bundle import made
from glagol.bundle.install.apply import facts
from glagol.bundle.install.steps import (
    Accept,
    Check,
    InstallState,
    Publish,
    Switch,
    Take,
    Wanted,
    steps,
)
from glagol.bundle.pack.git_source import Checkout
from glagol.bundle.pack.plan import Inputs, Wheel, glibc, place_of, plan
from glagol.bundle.pack.sources import Sources
from glagol.bundle.verify import Entry
from glagol.core.errors import InputError, IntegrityError
from glagol.registry.manifest.types import SourceFile
from glagol.registry.store import Store


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A made-up checkout."""
    place = tmp_path_factory.mktemp("plan") / "checkout"
    made.checkout(place)
    return place


@pytest.fixture
def inputs(root: Path) -> Inputs:
    """What a plan of it depends on."""
    sources = Sources(Checkout.open(root), (root / ".work" / "wheels",), (root / "store",))
    return sources.inputs("cpu", made.SYSTEM, ())


def test_plan_is_pure(inputs: Inputs) -> None:
    """The order of the listing has no say."""
    tracked = sorted(inputs.tracked)
    random.Random(1).shuffle(tracked)  # noqa: S311
    assert plan(inputs) == plan(replace(inputs, tracked=frozenset(tracked)))


def test_a_manifest_that_is_not_committed_is_refused(tmp_path: Path) -> None:
    """Other files and modes may differ: the commit's are packed."""
    made.checkout(tmp_path)
    manifest = tmp_path / "manifest.json"
    manifest.chmod(0o755)
    (tmp_path / "tests" / "left_out.py").write_text("changed")
    made.contents(tmp_path)
    manifest.write_bytes(manifest.read_bytes() + b"\n")
    with pytest.raises(InputError, match=r"manifest\.json differs from commit") as caught:
        made.contents(tmp_path)
    assert caught.value.code == "bundle_source"
    assert "git commit" in caught.value.remedy


def test_plan_takes_what_a_target_needs(inputs: Inputs) -> None:
    """Sources, locks, clips and licences; no tests, no source weights, no other lock."""
    paths = {step.path for step in plan(inputs).steps}
    assert {"install.sh", "verify.py", "src/manifest.json", "src/lock/asr-cpu.txt"} <= paths
    assert {"src/models/tiny/LICENSE", "src/models/tiny/golden/clip.flac"} <= paths
    for absent in ("src/tests/left_out.py", "src/lock/asr-cuda.txt"):
        assert absent not in paths
    assert not [path for path in paths if path.endswith(".safetensors")]
    assert plan(inputs).release.name == "glagol-0.1.0+m1-cpu"
    assert plan(inputs).left_out == (("absent", "it is not built yet"),)


def test_models_can_be_chosen(inputs: Inputs) -> None:
    """By id; one that is not there, or not built, is an error rather than an empty bundle."""
    chosen = plan(replace(inputs, models=("tiny",)))
    assert [model.id for model, _ in chosen.models] == ["tiny"]
    assert dict(chosen.left_out)["vad"] == "not requested"
    for model in ("unheard-of", "absent", "vad"):
        with pytest.raises(InputError) as caught:
            plan(replace(inputs, models=(model,)))
        assert caught.value.code == "bundle_source"


def test_language_models_are_carried_when_named(inputs: Inputs) -> None:
    """Eight gigabytes are nothing that comes along by itself."""
    tiny = next(model for model in inputs.manifest.models if model.id == "tiny")
    large = msgspec.structs.replace(tiny, id="large", engine="vllm", decoding=None)
    manifest = msgspec.structs.replace(inputs.manifest, models=(*inputs.manifest.models, large))
    both = replace(inputs, manifest=manifest)
    assert "large" in dict(plan(both).left_out)
    assert "large" not in {model.id for model, _ in plan(both).models}
    named = plan(replace(both, models=("tiny", "large")))
    assert [model.id for model, _ in named.models] == ["large", "tiny"]


def test_models_of_a_package_index_are_carried_when_named(inputs: Inputs) -> None:
    """A store has them only after an explicit fetch, so no bundle waits for them."""
    tiny = next(model for model in inputs.manifest.models if model.id == "tiny")
    wheel = SourceFile(path="a.whl", sha256="0" * 64, urls=("pkg:pypi/a@1",))
    source = msgspec.structs.replace(tiny.source, files=(wheel,))
    packaged = msgspec.structs.replace(tiny, id="packaged", source=source)
    manifest = msgspec.structs.replace(inputs.manifest, models=(*inputs.manifest.models, packaged))
    both = replace(inputs, manifest=manifest)
    assert "package index" in dict(plan(both).left_out)["packaged"]
    named = plan(replace(both, models=("tiny", "packaged")))
    assert [model.id for model, _ in named.models] == ["packaged", "tiny"]
    usual = {model.id for model, _ in plan(both).models}
    beside = plan(replace(both, also=("packaged",)))
    assert {model.id for model, _ in beside.models} == {*usual, "packaged"}
    assert "packaged" not in dict(beside.left_out)
    for model in ("unheard-of", "absent"):
        with pytest.raises(InputError) as caught:
            plan(replace(both, also=(model,)))
        assert caught.value.code == "bundle_source"


def test_wheel_plan_must_agree_with_the_lock(inputs: Inputs) -> None:
    """A digest that the lock does not list."""
    wheel = replace(inputs.wheels[0], sha256="0" * 64)
    with pytest.raises(IntegrityError, match="sound"):
        plan(replace(inputs, wheels=(wheel,)))


@pytest.mark.parametrize("path", ["manifest.json", "build/seal.py", "models/tiny/golden/clip.txt"])
def test_what_is_needed_must_be_tracked(inputs: Inputs, path: str) -> None:
    """The file is named."""
    with pytest.raises(InputError, match=path):
        plan(replace(inputs, tracked=inputs.tracked - {path}))


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ((), "2.5"),
        (("a-1-py3-none-any.whl",), "2.5"),
        (("a-1-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl",), "2.17"),
        (("a-1-cp311-cp311-manylinux_2_27_x86_64.manylinux_2_28_x86_64.whl",), "2.27"),
        (("a-1-cp311-cp311-manylinux1_x86_64.whl", "b-1-py3-none-manylinux_2_9_x86_64.whl"), "2.9"),
        (("a-1-py3-none-manylinux_2_9_i686.whl", "b-1-py3-none-manylinux_2_28_x86_64.whl"), "2.28"),
    ],
)
def test_glibc_follows_from_the_wheels(files: tuple[str, ...], expected: str) -> None:
    """The least that all of them run on, compared by number."""
    assert glibc(tuple(Wheel("x", "1", file, "0" * 64) for file in files)) == expected


def test_a_long_wheel_name_gives_up_claims_until_a_tar_can_hold_it() -> None:
    """Only the platform claim changes: an installer still reads name, version and tags."""
    long = "charset_normalizer-3.5.2-cp311-cp311-" + ".".join(
        f"{tag}_x86_64" for tag in ("manylinux_2_28", "manylinux_2_17", "manylinux2014")
    )
    assert len(long) + len(".whl") > 100
    found = place_of(Wheel("charset-normalizer", "3.5.2", f"{long}.whl", "0" * 64))
    assert found == "wheels/charset_normalizer-3.5.2-cp311-cp311-manylinux2014_x86_64.whl"
    short = "numpy-2.4.6-cp311-cp311-manylinux_2_27_x86_64.manylinux_2_28_x86_64.whl"
    assert place_of(Wheel("numpy", "2.4.6", short, "0" * 64)) == f"wheels/{short}"


def test_variants_share_blobs(root: Path) -> None:
    """cpu and cuda name the same files of the store, so a target keeps one copy."""
    cpu, cuda = ({m.entry for m in made.contents(root, v).members} for v in ("cpu", "cuda"))
    models = {entry for entry in cpu if entry.path.startswith("store/")}
    assert models
    assert models <= cuda


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"unpacked_bytes": 1000, "sources_bytes": 100}, 1 + 1000 + 200),
        ({"unpacked_bytes": 1000}, 1 + 2000),  # packed before sources were counted
    ],
)
def test_room_for_byte_code(tmp_path: Path, environment: dict[str, int], expected: int) -> None:
    """Twice the sources, and not the gigabytes of libraries that no byte code is made of."""
    index = {"environment": environment, "requires": {"python": "3.11"}}
    wanted = Wanted("f" * 64, index, (), (Entry("src/a", "a" * 64, 1),))
    needed = facts(wanted, made.target_at(tmp_path), made.Machine()).needed_bytes
    assert needed == expected


def test_steps_keep_the_promise() -> None:
    """Everything is taken, checked and accepted before the one step that changes what runs."""
    one, two = Entry("src/a", "a" * 64, 1), Entry("store/b", "b" * 64, 1)
    index = {"name": "n", "environment": {"lock": "l", "uv": "u"}}
    wanted = Wanted("f" * 64, index, (one, two), (one,))
    kinds = [type(step) for step in steps(wanted, InstallState(None, (), published=False))]
    assert kinds[:2] == [Check, Take]
    assert kinds.index(Accept) < kinds.index(Publish) < kinds.index(Switch)
    again = steps(wanted, InstallState(None, (3,), published=True))
    assert [s for s in again if isinstance(s, Switch)] == [Switch("n-ffffffffffff", 1, (3,))]


def test_layout_is_that_of_the_registry(tmp_path: Path) -> None:
    """The blobs of an installation are a store that the registry opens."""
    target, store = made.target_at(tmp_path), Store(tmp_path / "store")
    sha256 = store.add_bytes(b"blob")
    assert target.store.verify(sha256)
    assert target.store.path_of(sha256) == store.path_of(sha256)
