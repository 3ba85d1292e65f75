"""A tiny Qwen3 for tests: made from nothing in a second, the same bytes every time.

Its tokenizer is trained on the spot, its weights are random: what it says means nothing. It likes
to close what is open, so that JSON under a grammar ends: a constant channel of the residual stream
carries a preference for the marks of `LIKED`, in their order.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np

from glagol.registry.manifest.read import canonical, parse
from glagol.registry.manifest.types import Artifact, Model, Source, SourceFile, Variant
from glagol.registry.store import Store

ROOT = Path(__file__).resolve().parents[2]
MODEL: Final = "tiny-qwen3"
ALIAS: Final = "glagol/tiny"
HIDDEN, LAYERS, HEADS, KV_HEADS, HEAD, INNER = 64, 2, 2, 1, 32, 128
MERGES: Final = 400
SPECIALS: Final = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
LIKED: Final = '"{]},:'  # from the most to the least
TEMPLATE: Final = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
CORPUS: Final = """
мы сегодня собрались чтобы обсудить план работы на следующий месяц и принять решение по бюджету
первый вопрос касается сроков второй вопрос о том кто отвечает за проверку третий о поставке
давайте запишем что отдел закупок готовит договор до пятницы а руководитель проекта его согласует
если возражений нет то переходим к следующему пункту повестки дня спасибо всем за участие
the summary must say what was decided who does what and until when and where it was said
answer in json with summary key points action items decisions and the numbers of the segments
кратко изложи главное перечисли решения и поручения укажи номера фрагментов которые их подтверждают
"""


@cache
def files() -> dict[str, bytes]:
    """The model's directory: file name to bytes."""
    vocabulary, merges = _tokenizer()
    first = len(vocabulary)
    every = {**vocabulary, **{name: first + n for n, name in enumerate(SPECIALS)}}
    end = every["<|im_end|>"]
    shape = {
        "hidden_size": HIDDEN,
        "intermediate_size": INNER,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "num_key_value_heads": KV_HEADS,
        "head_dim": HEAD,
        "vocab_size": len(every),
    }
    return {
        "config.json": _json(
            {
                "architectures": ["Qwen3ForCausalLM"],
                "model_type": "qwen3",
                "dtype": "bfloat16",
                "hidden_act": "silu",
                "max_position_embeddings": 32768,
                "rms_norm_eps": 1e-6,
                "rope_theta": 1000000.0,
                "tie_word_embeddings": False,
                "attention_bias": False,
                "eos_token_id": end,
                **shape,
            }
        ),
        "generation_config.json": _json({"eos_token_id": end, "do_sample": False}),
        "model.safetensors": _safetensors(_weights(every)),
        "tokenizer.json": _json(_tokenizer_json(vocabulary, merges, every)),
        "tokenizer_config.json": _json(
            {
                "tokenizer_class": "PreTrainedTokenizerFast",
                "eos_token": "<|im_end|>",
                "pad_token": "<|endoftext|>",
                "model_max_length": 32768,
                "clean_up_tokenization_spaces": False,
                "chat_template": TEMPLATE,
            }
        ),
    }


def make_home(folder: Path) -> Path:
    """Fill `folder` with the repository's manifest, the tiny model added and in the store."""
    folder.mkdir(parents=True, exist_ok=True)
    store = Store(folder / "store")
    artifacts = tuple(
        Artifact(path=name, sha256=store.add_bytes(data), size_bytes=len(data))
        for name, data in files().items()
    )
    entry = Model(
        id=MODEL,
        engine="vllm",
        version="1",
        license="MIT",
        aliases=(ALIAS,),
        source=Source(
            repo="the tests",
            files=tuple(
                SourceFile(path=a.path, sha256=a.sha256, size_bytes=a.size_bytes) for a in artifacts
            ),
        ),
        variants=(
            Variant(id="cpu-bf16", provider="cpu", precision="bf16", artifacts=artifacts),
            Variant(id="cuda-bf16", provider="cuda", precision="bf16", artifacts=artifacts),
        ),
    )
    whole = parse((ROOT / "manifest.json").read_bytes())
    whole = msgspec.structs.replace(
        whole,
        models=(*(m for m in whole.models if m.id != MODEL), entry),
        defaults=msgspec.structs.replace(whole.defaults, llm=MODEL),
    )
    (folder / "manifest.json").write_bytes(canonical(whole))
    return folder


def blob(home: Path, name: str) -> Path:
    """Where the store of `home` keeps a file of the model."""
    return Store(home / "store").path_of(hashlib.sha256(files()[name]).hexdigest())


def _weights(every: dict[str, int]) -> dict[str, np.ndarray[Any, Any]]:
    random = np.random.default_rng(20261121)

    def matrix(rows: int, columns: int, scale: float = 0.05) -> np.ndarray[Any, Any]:
        return random.standard_normal((rows, columns)).astype(np.float32) * np.float32(scale)

    ones = np.ones(HIDDEN, np.float32)
    embed, head = matrix(len(every), HIDDEN, 0.5), matrix(len(every), HIDDEN, 0.05)
    embed[:, 0], head[:, 0] = 4.0, 0.0
    for rank, token in enumerate(LIKED):
        head[every[token], 0] = 2.0 - 0.25 * rank
    weights = {
        "model.embed_tokens.weight": embed,
        "model.norm.weight": ones,
        "lm_head.weight": head,
    }
    for layer in range(LAYERS):
        out, down = matrix(HIDDEN, HEADS * HEAD), matrix(HIDDEN, INNER)
        out[0], down[0] = 0.0, 0.0  # the constant channel stays constant
        weights |= {
            f"model.layers.{layer}.{name}.weight": value
            for name, value in {
                "input_layernorm": ones,
                "post_attention_layernorm": ones,
                "self_attn.q_proj": matrix(HEADS * HEAD, HIDDEN),
                "self_attn.k_proj": matrix(KV_HEADS * HEAD, HIDDEN),
                "self_attn.v_proj": matrix(KV_HEADS * HEAD, HIDDEN),
                "self_attn.o_proj": out,
                "self_attn.q_norm": np.ones(HEAD, np.float32),
                "self_attn.k_norm": np.ones(HEAD, np.float32),
                "mlp.gate_proj": matrix(INNER, HIDDEN),
                "mlp.up_proj": matrix(INNER, HIDDEN),
                "mlp.down_proj": down,
            }.items()
        }
    return weights


def _safetensors(tensors: dict[str, np.ndarray[Any, Any]]) -> bytes:
    """The file format of that name; float32 becomes bfloat16 by cutting the lower half."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    data = b""
    for name in sorted(tensors):
        value = (tensors[name].astype("<f4").view("<u4") >> 16).astype("<u2").tobytes()
        header[name] = {
            "dtype": "BF16",
            "shape": list(tensors[name].shape),
            "data_offsets": [len(data), len(data) + len(value)],
        }
        data += value
    head = json.dumps(header).encode()
    head += b" " * (-len(head) % 8)
    return len(head).to_bytes(8, "little") + head + data


def _byte_letters() -> dict[int, str]:
    """GPT-2's printable letter for each byte."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    other = [b for b in range(256) if b not in plain]
    return {b: chr(b) for b in plain} | {b: chr(256 + n) for n, b in enumerate(other)}


def _tokenizer() -> tuple[dict[str, int], list[tuple[str, str]]]:
    """Byte-level BPE (Sennrich et al. 2016) trained on `CORPUS`: vocabulary and merges."""
    letters = _byte_letters()
    words = Counter(f" {word}" for word in CORPUS.split())
    split = {word: [letters[b] for b in word.encode()] for word in words}
    vocabulary = [letters[b] for b in range(256)]
    merges: list[tuple[str, str]] = []
    while len(merges) < MERGES:
        pairs: Counter[tuple[str, str]] = Counter()
        for word, parts in split.items():
            for pair in pairwise(parts):
                pairs[pair] += words[word]
        if not pairs:
            break  # every word of the corpus is one token
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        merges.append(best)
        vocabulary.append("".join(best))
        for word, parts in split.items():
            split[word] = _merged(parts, best)
    return {token: n for n, token in enumerate(vocabulary)}, merges


def _merged(parts: list[str], pair: tuple[str, str]) -> list[str]:
    out: list[str] = []
    n = 0
    while n < len(parts):
        both = tuple(parts[n : n + 2]) == pair
        out.append(parts[n] + parts[n + 1] if both else parts[n])
        n += 2 if both else 1
    return out


def _tokenizer_json(
    vocabulary: dict[str, int], merges: list[tuple[str, str]], every: dict[str, int]
) -> dict[str, Any]:
    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True}
    flags = {
        "single_word": False, "lstrip": False, "rstrip": False, "normalized": False,
        "special": True,
    }  # fmt: skip
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [{"id": every[name], "content": name, **flags} for name in SPECIALS],
        "normalizer": None,
        "pre_tokenizer": {**level, "use_regex": True},
        "post_processor": None,
        "decoder": {**level, "use_regex": True},
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": False,
            "vocab": vocabulary,
            "merges": [list(pair) for pair in merges],
        },
    }


def _json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, indent=1, sort_keys=True).encode()
