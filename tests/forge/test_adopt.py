"""Adoption copies upstream's ONNX files by digest: the same bytes, or a refusal that says why."""

from __future__ import annotations

import hashlib
from pathlib import Path

import msgspec
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import homes
from glagol.core.errors import InputError, IntegrityError
from glagol.forge.adopt import Adopted, adopt
from glagol.forge.families.table import FAMILIES
from glagol.forge.model import build_model, buildable
from glagol.registry.manifest.types import Artifact, Model, Source, SourceFile, Variant
from glagol.registry.registry import Registry
from glagol.registry.store import Store
from glagol.runtime.session import open_session

BARE = Variant(id="cpu-fp32", provider="cpu", precision="fp32")


@pytest.fixture(scope="module")
def upstream(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """A made-up graph y = x + w, its weight in a file of its own, by source path."""
    folder = tmp_path_factory.mktemp("upstream")
    weight = numpy_helper.from_array(np.arange(4096, dtype=np.float32), "w")
    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "w"], ["y"])],
        "made-up",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [4096])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [4096])],
        [weight],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.save_model(
        model, folder / "g.onnx", save_as_external_data=True, location="g.data", size_threshold=0
    )
    return {f"onnx/{path.name}": path.read_bytes() for path in sorted(folder.iterdir())}


def entry(upstream: dict[str, bytes], *variants: Variant) -> Model:
    """The manifest entry of these files, each with its pin."""
    files = tuple(
        SourceFile(path=path, sha256=hashlib.sha256(data).hexdigest(), size_bytes=len(data))
        for path, data in upstream.items()
    )
    return Model(
        id="made-up",
        engine="echo",
        version="1",
        license="MIT",
        source=Source(repo="made/up", files=files),
        variants=variants or (BARE,),
        unpinned="not built yet",
    )


def test_graph_and_external_data_are_copied(upstream: dict[str, bytes], tmp_path: Path) -> None:
    """A variant without digests takes every source file, and what was adopted runs."""
    model = entry(upstream)
    made = build_model(model, upstream, {"echo": Adopted("echo")})["cpu-fp32"]
    assert made == {"g.data": upstream["onnx/g.data"], "g.onnx": upstream["onnx/g.onnx"]}
    store = Store(tmp_path)
    artifacts = {
        name: Artifact(path=name, sha256=store.add_bytes(data), size_bytes=len(data))
        for name, data in made.items()
    }
    blobs = {name: store.open(artifact) for name, artifact in artifacts.items()}
    session = open_session(blobs, "g.onnx", device="cpu", threads=1)
    (found,) = session.run(None, {"x": np.ones(4096, np.float32)})
    assert np.array_equal(found, np.arange(4096, dtype=np.float32) + 1)


def test_a_variant_with_digests_takes_its_own_files(upstream: dict[str, bytes]) -> None:
    """Of several graphs in one repository each variant has the ones that its entry names."""
    more = {**upstream, "onnx/other.onnx": b"another graph"}
    named = Artifact(
        path="other.onnx", sha256=hashlib.sha256(b"another graph").hexdigest(), size_bytes=13
    )
    variant = msgspec.structs.replace(BARE, artifacts=(named,))
    assert adopt(entry(more, variant), variant, more) == {"other.onnx": b"another graph"}


def test_what_is_not_the_pinned_file_is_refused(upstream: dict[str, bytes]) -> None:
    """Another byte, a missing file, two of one name, no graph at all."""
    model = entry(upstream)
    changed = {**upstream, "onnx/g.data": upstream["onnx/g.data"][:-1] + b"!"}
    short = {path: data for path, data in upstream.items() if path.endswith("onnx")}
    twice = entry({**upstream, "fp16/g.onnx": b"half"})
    blind = entry({"weights.bin": b"weights"})
    for wanted, files, code, said in (
        (model, changed, "artifact_altered", "g.data has sha256"),
        (model, short, "artifact_missing", "no g.data"),
        (twice, upstream, "artifact_altered", "one name"),
        (blind, {"weights.bin": b"weights"}, "artifact_altered", "ONNX graph"),
    ):
        with pytest.raises(IntegrityError, match=said) as caught:
            adopt(wanted, BARE, files)
        assert caught.value.code == code


def test_an_adopted_model_names_no_builder(upstream: dict[str, bytes]) -> None:
    """Its bytes are upstream's; of an engine that no family builds, nothing is made."""
    assert Adopted("echo").builder_version is None
    model = entry(upstream)
    assert buildable(model) == ()
    with pytest.raises(InputError, match="'echo'"):
        build_model(model, upstream)
    assert buildable(model, {"echo": Adopted("echo")}) == (BARE,)


def test_the_committed_detector_is_adopted_byte_for_byte() -> None:
    """Voice activity is upstream's file: adoption gives exactly what manifest.json pins."""
    registry: Registry = homes.repository()
    model = registry.model(registry.manifest.defaults.vad)
    assert FAMILIES[model.engine].builder_version is None
    assert model.builder is None
    (variant,) = model.variants
    (pinned,) = variant.artifacts
    source = next(file for file in model.source.files if file.archive)
    made = build_model(model, {source.path: registry.store.path_of(pinned.sha256)})
    assert {name: hashlib.sha256(data).hexdigest() for name, data in made[variant.id].items()} == {
        pinned.path: pinned.sha256
    }
