"""Transcribe a recording with nothing but Python.

    python examples/transcribe.py speech.ogg

GLAGOL_URL is the server, GLAGOL_KEY the key if the server wants one.
"""

import json
import os
import sys
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

URL = os.environ.get("GLAGOL_URL", "http://127.0.0.1:8080")


def transcribe(file):
    """The `data` of the answer: text, segments with words and times, provenance."""
    size = str(os.fstat(file.fileno()).st_size)
    request = Request(f"{URL}/v1/transcribe", file, {"Content-Length": size}, method="PUT")
    if key := os.environ.get("GLAGOL_KEY"):
        request.add_header("Authorization", f"Bearer {key}")
    try:
        with urlopen(request) as answer:
            return json.load(answer)["data"]
    except HTTPError as refused:
        error = json.load(refused)["error"]
        raise SystemExit("{code}: {message} ({remedy})".format(**error)) from None


if __name__ == "__main__":
    with Path(sys.argv[1]).open("rb") as recording:
        for segment in transcribe(recording)["segments"]:
            print(f"{segment['start']:8.2f} {segment['end']:8.2f}  {segment['text']}")
