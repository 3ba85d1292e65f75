"""Sessions from bytes: weights by name, honest providers, refusals that say what is wrong."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import msgspec
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from glagol.core.errors import GlagolError, HostError, InputError, IntegrityError
from glagol.registry.registry import Registry
from glagol.registry.store import Blob
from glagol.runtime.cuda import CPU, RECORD, cuda_options, strays
from glagol.runtime.external_data import external_tensors
from glagol.runtime.options import Runtime
from glagol.runtime.ort import onnxruntime
from glagol.runtime.session import device_of, open_session
from glagol.runtime.tensors import read_float32
from glagol.speech.engines.gigaam.engine import Acoustic
from glagol.speech.pipeline.recognizer import Recognizer
from speech import made
from speech.conftest import MODELS


def blob(data: bytes) -> Blob:
    return Blob(sha256="", data=memoryview(data))


def graph(weights: np.ndarray, location: str = "w.data") -> tuple[bytes, bytes]:
    """A MatMul whose weights lie in a file after 64 other bytes."""
    tensor = TensorProto(
        name="w",
        dims=weights.shape,
        data_type=helper.np_dtype_to_tensor_dtype(weights.dtype),
        data_location=TensorProto.EXTERNAL,
    )
    for key, value in (("location", location), ("offset", "64"), ("length", str(weights.nbytes))):
        tensor.external_data.add(key=key, value=value)
    small = helper.make_tensor("b", TensorProto.FLOAT, [weights.shape[1]], [1.0] * weights.shape[1])
    model = helper.make_model(
        helper.make_graph(
            [
                helper.make_node("MatMul", ["x", "w"], ["y"]),
                helper.make_node("Add", ["y", "b"], ["z"]),
            ],
            "g",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", weights.shape[0]])],
            [helper.make_tensor_value_info("z", TensorProto.FLOAT, None)],
            [tensor, small],
        ),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
    )
    return model.SerializeToString(), bytes(64) + weights.tobytes()


WEIGHTS = np.random.default_rng(0).standard_normal((40, 30)).astype(np.float32)


def test_weights_come_from_the_mapping() -> None:
    model, data = graph(WEIGHTS)
    blobs = {"m.onnx": blob(model), "w.data": blob(data)}
    session = open_session(blobs, "m.onnx", device="cpu", threads=1)
    x = np.ones((2, 40), np.float32)
    assert np.allclose(session.run(None, {"x": x})[0], x @ WEIGHTS + 1, atol=1e-5)
    assert device_of(session) == "cpu"
    options = session.get_session_options()
    assert (options.intra_op_num_threads, options.inter_op_num_threads) == (1, 1)


def test_external_tensors_are_those_that_onnx_sees(registry: Registry) -> None:
    for model in MODELS.values():
        for variant in ("cpu-fp32", "cpu-int8"):
            data = registry.open(model, variant).blobs["encoder.onnx"].data
            proto = onnx.load_model_from_string(bytes(data))
            expected = [
                (t.name, tuple(t.dims), {e.key: e.value for e in t.external_data})
                for t in proto.graph.initializer
                if t.data_location == TensorProto.EXTERNAL
            ]
            found = external_tensors(data)
            assert [(t.name, t.shape) for t in found] == [(n, s) for n, s, _ in expected]
            assert [str(t.offset) for t in found] == [e.get("offset", "0") for *_, e in expected]


def test_missing_or_short_weights_are_refused() -> None:
    model, data = graph(WEIGHTS)
    with pytest.raises(IntegrityError, match=r"w\.data is not among"):
        open_session({"m.onnx": blob(model)}, "m.onnx", device="cpu", threads=1)
    short = {"m.onnx": blob(model), "w.data": blob(data[:-1])}
    with pytest.raises(IntegrityError, match=r"w\.data is too short for w"):
        open_session(short, "m.onnx", device="cpu", threads=1)


@pytest.mark.parametrize("junk", [b"\xff" * 40, b"\x3a\x7f", b"text that is no graph"])
def test_other_bytes_are_refused(junk: bytes) -> None:
    with pytest.raises(IntegrityError) as caught:
        open_session({"m.onnx": blob(junk)}, "m.onnx", device="cpu", threads=1)
    assert caught.value.code == "artifact_altered"
    with pytest.raises(IntegrityError, match=r"head\.safetensors"):
        read_float32(memoryview(junk))


def test_cuda_is_never_replaced_by_the_cpu(registry: Registry) -> None:
    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("onnxruntime has CUDA here, so nothing is missing")
    with pytest.raises(HostError) as caught:
        Recognizer.open(registry, model=MODELS["ctc"], runtime=Runtime(device="cuda"))
    assert caught.value.code == "provider_missing"
    assert "CUDAExecutionProvider" in caught.value.message


@pytest.mark.parametrize(
    ("variant", "wrong"),
    [(None, Runtime(device="tpu")), (None, Runtime(threads=-1)), ("cpu-int3", Runtime())],
)
def test_wrong_options_are_the_callers(
    registry: Registry, variant: str | None, wrong: Runtime
) -> None:
    with pytest.raises(InputError) as caught:
        Recognizer.open(registry, model=MODELS["ctc"], variant=variant, runtime=wrong)
    assert caught.value.code == "option_invalid"


def test_models_of_another_kind_are_refused(registry: Registry) -> None:
    for roles in ({"model": registry.manifest.defaults.vad}, {"vad": MODELS["ctc"]}):
        with pytest.raises(InputError) as caught:
            Recognizer.open(registry, model=roles.get("model"), vad=roles.get("vad"))
        assert caught.value.code == "model_unknown"


def test_windows_are_alone(registry: Registry) -> None:
    samples = made.tone(2.0)
    opened = registry.open(MODELS["ctc"], "cpu-fp32")
    acoustic = Acoustic(opened, device="cpu", threads=1)
    first = acoustic.tokens(samples)
    acoustic.tokens(made.tone(5.0))
    assert acoustic.tokens(samples) == first
    assert acoustic.tokens(samples[:100]) == ([], 0)


def test_a_model_without_its_vocabulary_is_an_integrity_error(registry: Registry) -> None:
    opened = registry.open(MODELS["ctc"])
    blobs = {p: b for p, b in opened.blobs.items() if p != "vocabulary.json"}
    with pytest.raises(GlagolError, match=r"vocabulary\.json is not among"):
        Acoustic(
            dataclasses.replace(opened, blobs=MappingProxyType(blobs)), device="cpu", threads=1
        )


def test_strays_are_what_computes_elsewhere(registry: Registry) -> None:
    """Of a graph that was placed on the CPU: everything but the arithmetic of shapes."""
    blobs = registry.open(MODELS["ctc"], "cpu-fp32").blobs
    options = onnxruntime.SessionOptions()
    options.add_session_config_entry(RECORD, "1")
    views = {t.name: t.view(blobs[t.location].data) for t in external_tensors(_graph(blobs))}
    values = [onnxruntime.OrtValue.ortvalue_from_numpy(view) for view in views.values()]
    options.add_external_initializers(list(views), values)
    session = onnxruntime.InferenceSession(bytes(_graph(blobs)), options, [CPU])
    found = strays(session)
    assert {"MatMul", "LayerNormalization", "MultiHeadAttention", "Conv"} <= set(found)
    assert not {"Shape", "Gather", "Range"} & set(found)


def _graph(blobs: Mapping[str, Blob]) -> memoryview:
    return blobs["encoder.onnx"].data


def test_the_arena_of_a_card_has_a_limit() -> None:
    """ONNX Runtime gets the requested options; no search for algorithms, no TF32."""
    assert cuda_options(1 << 30)["gpu_mem_limit"] == "1073741824"
    assert "gpu_mem_limit" not in cuda_options(0)
    assert cuda_options(0)["cudnn_conv_algo_search"] == "HEURISTIC"
    assert cuda_options(0)["use_tf32"] == "0"


def test_a_variant_runs_where_it_is_made_for(registry: Registry) -> None:
    """A build for CUDA is not quietly computed on the CPU."""
    opened = registry.open(MODELS["ctc"], "cpu-fp32")
    half = msgspec.structs.replace(opened.variant, id="cuda-fp16", provider="cuda")
    with pytest.raises(InputError, match="cuda-fp16 is made for cuda, not for cpu"):
        Acoustic(dataclasses.replace(opened, variant=half), device="cpu", threads=1)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"ir_version": 99}, "IR"),
        ({"opset": ("", 99)}, "opset"),
        ({"opset": ("com.microsoft", 7)}, "opset"),
    ],
)
def test_graphs_of_another_time_are_refused(
    registry: Registry, changes: dict[str, Any], words: str
) -> None:
    """Another IR version, opset or domain than the authored graphs have, named in the message."""
    blobs = dict(registry.open(MODELS["ctc"], "cpu-fp32").blobs)
    proto = onnx.load_model_from_string(bytes(blobs["encoder.onnx"].data))
    if "ir_version" in changes:
        proto.ir_version = changes["ir_version"]
    else:
        domain, version = changes["opset"]
        kept = [each for each in proto.opset_import if each.domain != domain]
        del proto.opset_import[:]
        proto.opset_import.extend([*kept, helper.make_opsetid(domain, version)])
    blobs["encoder.onnx"] = blob(proto.SerializeToString())
    with pytest.raises(IntegrityError) as caught:
        open_session(blobs, "encoder.onnx", device="cpu", threads=1)
    assert caught.value.code == "artifact_altered"
    assert words.lower() in caught.value.message.lower()
    assert "glagol models build" in caught.value.remedy or "build the model" in caught.value.remedy


@pytest.mark.parametrize("name", ["encoder.data", "head.safetensors"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_not_numbers_are_refused(
    registry: Registry, name: str, value: float
) -> None:
    """One NaN among millions is found when the model is opened, before it makes empty texts."""
    opened = registry.open(MODELS["rnnt"], "cpu-fp32")
    blobs = dict(opened.blobs)
    data = bytearray(blobs[name].data)
    middle = len(data) // 2 // 64 * 64
    data[middle : middle + 4] = np.array([value], "<f4").tobytes()
    blobs[name] = blob(bytes(data))
    with pytest.raises(IntegrityError, match="not finite") as caught:
        Acoustic(
            dataclasses.replace(opened, blobs=MappingProxyType(blobs)), device="cpu", threads=1
        )
    assert caught.value.code == "artifact_altered"
    assert name in caught.value.message


@pytest.mark.parametrize("head", ["ctc", "rnnt"])
def test_a_vocabulary_of_another_model_is_refused(registry: Registry, head: str) -> None:
    """More or fewer pieces than the head has classes: refused at opening, with both numbers."""
    opened = registry.open(MODELS[head], "cpu-fp32")
    raw = json.loads(bytes(opened.blobs["vocabulary.json"].data))
    for pieces in (raw["pieces"][:-1], [*raw["pieces"], "ъъ"]):
        other = json.dumps({**raw, "pieces": pieces, "blank": len(pieces)}).encode()
        blobs = {**opened.blobs, "vocabulary.json": blob(other)}
        with pytest.raises(IntegrityError, match=rf"{len(pieces) + 1}.*classes") as caught:
            Acoustic(
                dataclasses.replace(opened, blobs=MappingProxyType(blobs)), device="cpu", threads=1
            )
        assert caught.value.code == "artifact_altered"
