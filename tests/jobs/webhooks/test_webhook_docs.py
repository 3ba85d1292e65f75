"""The examples of the page on webhooks do what it says: they run, in Python and in Node."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from glagol.jobs.webhooks import signing

ROOT = Path(__file__).resolve().parents[3]
PAGE = ROOT / "docs/reference/webhooks.md"
SECRET = "whsec_" + "c2VjcmV0" * 5
OTHER = "whsec_" + "b3RoZXJz" * 5
BODY = '{"text":"раз два три"}'.encode()


def example(language: str) -> str:
    """The page's block of code in `language`."""
    (block,) = re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    return str(block)


def in_python(secret: str, headers: dict[str, str], body: bytes) -> bool:
    """The Python example's answer."""
    names: dict[str, Any] = {}
    exec(example("python"), names)  # noqa: S102 - our own page
    return bool(names["verify"](secret, headers, body))


def in_node(secret: str, headers: dict[str, str], body: bytes) -> bool:
    """The JavaScript example's answer."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed")
    call = f"console.log(verify({json.dumps(secret)}, {json.dumps(headers)}, Buffer.from("
    program = f"{example('js')}\n{call}{json.dumps(body.hex())}, 'hex')));"
    answer = subprocess.run([node, "-e", program], capture_output=True, text=True, check=True)
    return json.loads(answer.stdout) is True


@pytest.mark.parametrize("verify", [in_python, in_node])
def test_the_example_verifies_what_is_right_and_nothing_else(
    verify: Callable[[str, dict[str, str], bytes], bool],
) -> None:
    """Either secret of a rotation; not another one, not another body, not an old delivery."""
    now_s = int(time.time())
    headers = signing.headers([OTHER, SECRET], "wh_1", now_s, BODY)
    assert verify(SECRET, headers, BODY)
    assert not verify(SECRET, headers, BODY + b" ")
    assert not verify("whsec_" + "d3Jvbmch" * 5, headers, BODY)
    assert not verify(SECRET, signing.headers([SECRET], "wh_1", now_s - 3600, BODY), BODY)


def test_both_pages_show_the_same_policy() -> None:
    """Its names are read by the service's own tests; here: both languages agree."""
    english, russian = (
        tomllib.loads(re.findall(r"```toml\n(.*?)```", page.read_text(), re.DOTALL)[0])
        for page in (PAGE, PAGE.with_suffix(".ru.md"))
    )
    assert english == russian
