"""A model is asked for by name and comes as verified bytes with its provenance."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from glagol.core.errors import InputError, IntegrityError
from glagol.registry.manifest.read import canonical
from glagol.registry.registry import Registry
from glagol.registry.store import Store, Trust
from registry.made import RNNT, artifact, asr_model, manifest, variant

FP32, INT8, SHARED = b"fp32 weights", b"int8 weights", b"vocabulary"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Two models over shared files: one with two builds and one never built, all in the store."""
    shared = artifact(SHARED, "vocabulary.json")
    nano = asr_model(
        "gigaam-nano",
        variant("cpu-fp32", artifact(FP32, "encoder.data"), shared),
        variant("cpu-int8", artifact(INT8, "encoder.data"), shared),
        note="synthetic voices only",
    )
    nano_rnnt = asr_model(
        "gigaam-nano-rnnt", variant("cpu-int8", artifact(INT8, "encoder.data")), decoding=RNNT
    )
    large = asr_model("large", unpinned="filled by the first build", aliases=("Vendor/Large-v3",))
    (tmp_path / "manifest.json").write_bytes(canonical(manifest(nano, nano_rnnt, large)))
    store = Store(tmp_path / "store")
    for data in (FP32, INT8, SHARED, b"vad graph"):
        store.add_bytes(data)
    return tmp_path


def test_open_gives_verified_bytes_and_provenance(home: Path) -> None:
    """Blobs by artifact path in manifest order, the manifest's digest, the chosen variant."""
    opened = Registry.load(home).open("gigaam-nano", "cpu-int8")
    assert [(p, bytes(b.data)) for p, b in opened.blobs.items()] == [
        ("encoder.data", INT8),
        ("vocabulary.json", SHARED),
    ]
    assert opened.blobs["encoder.data"].sha256 == hashlib.sha256(INT8).hexdigest()
    assert opened.variant.id == "cpu-int8"
    assert opened.model.note == "synthetic voices only"
    digest = hashlib.sha256((home / "manifest.json").read_bytes()).hexdigest()
    assert (opened.manifest_version, opened.manifest_sha256) == (1, digest)


def test_first_built_variant_is_the_default(home: Path) -> None:
    """The manifest's order is the preference; variants not built yet are passed over."""
    registry = Registry.load(home)
    assert registry.open("gigaam-nano").variant.id == "cpu-fp32"
    partly = asr_model(
        "m", variant("cuda-fp16"), variant("cpu-int8", artifact(INT8)), unpinned="no card here"
    )
    assert registry.variant(partly).id == "cpu-int8"


def test_model_is_found_by_id_and_by_alias(home: Path) -> None:
    """An unknown name lists what there is."""
    registry = Registry.load(home)
    assert registry.model("Vendor/Large-v3") is registry.model("large")
    with pytest.raises(InputError) as caught:
        registry.open("unknown")
    assert caught.value.code == "model_unknown"
    assert "gigaam-nano, gigaam-nano-rnnt, large, vad" in caught.value.remedy


def test_unknown_variant_lists_the_known_ones(home: Path) -> None:
    """A typing error is the caller's."""
    with pytest.raises(InputError) as caught:
        Registry.load(home).open("gigaam-nano", "cpu-fp64")
    assert caught.value.code == "option_invalid"
    assert "cpu-fp32, cpu-int8" in caught.value.remedy


@pytest.mark.parametrize("name", [None, "cpu-fp32"])
def test_model_never_built_says_so(home: Path, name: str | None) -> None:
    """The reason from the manifest and the way out."""
    with pytest.raises(IntegrityError) as caught:
        Registry.load(home).open("large", name)
    assert caught.value.code == "artifact_unpinned"
    assert "filled by the first build" in caught.value.message
    assert "glagol models build large" in caught.value.remedy


@pytest.mark.parametrize("damage", ["artifact_missing", "artifact_altered"])
def test_one_bad_file_stops_the_whole_model(home: Path, damage: str) -> None:
    """The last artifact counts as much as the first; other variants stay usable."""
    registry = Registry.load(home)
    registry.open("gigaam-nano", "cpu-int8")
    path = registry.store.path_of(hashlib.sha256(INT8).hexdigest())
    path.unlink()
    if damage == "artifact_altered":
        path.write_bytes(INT8[::-1])
    for name in ("gigaam-nano", "gigaam-nano-rnnt"):
        with pytest.raises(IntegrityError, match=r"encoder\.data") as caught:
            registry.open(name, "cpu-int8")
        assert caught.value.code == damage
        assert f"glagol models fetch {name}" in caught.value.remedy
    assert registry.open("gigaam-nano", "cpu-fp32")


def test_store_may_lie_elsewhere(home: Path, tmp_path: Path) -> None:
    """And loading opens nothing, so a store that is not there yet is no error."""
    registry = Registry.load(home, tmp_path / "elsewhere", Trust.receipt)
    assert (registry.store.root, registry.trust) == (tmp_path / "elsewhere", Trust.receipt)
    with pytest.raises(IntegrityError, match="elsewhere"):
        registry.open("gigaam-nano")


def test_home_without_manifest_is_a_setting(tmp_path: Path) -> None:
    """The usual cause is a wrong --home."""
    with pytest.raises(InputError, match=r"manifest\.json") as caught:
        Registry.load(tmp_path)
    assert caught.value.code == "setting_invalid"
    assert "--home" in caught.value.remedy


def test_trust_reaches_the_store(home: Path) -> None:
    """Receipts appear only beside what was opened under Trust.receipt."""
    Registry.load(home).open("gigaam-nano")
    assert not list(home.rglob("*.receipt"))
    Registry.load(home, trust=Trust.receipt).open("gigaam-nano")
    assert len(list(home.rglob("*.receipt"))) == 2
