"""Send a long recording over a bad line.

    python examples/upload.py lecture.wav

The upload continues where it broke off, also when this program is started again: the address of the
upload is kept beside the recording until it was transcribed. The protocol is tus 1.0.0.
GLAGOL_URL is the server, GLAGOL_KEY the key if the server wants one.
"""

import json
import os
import sys
import time
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from pathlib import Path
from urllib.parse import urljoin, urlsplit

SERVER = urlsplit(os.environ.get("GLAGOL_URL", "http://127.0.0.1:8080"))
UPLOADS = SERVER.path.rstrip("/") + "/v1/uploads"
PIECE_BYTES = 8 << 20
TRIES, PAUSE_S = 30, 2


def ask(method, path, body=None, **headers):
    """One request: status, headers, body. A line that breaks is tried again."""
    sent = {name.replace("_", "-"): str(value) for name, value in headers.items()}
    sent["Tus-Resumable"] = "1.0.0"
    if key := os.environ.get("GLAGOL_KEY"):
        sent["Authorization"] = f"Bearer {key}"
    kind = HTTPSConnection if SERVER.scheme == "https" else HTTPConnection
    connection = kind(SERVER.hostname, SERVER.port)
    try:
        connection.request(method, path, body, sent)
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()
    finally:
        connection.close()


def send(file, path):
    """What the server lacks, piece by piece, until it lacks nothing."""
    size = os.fstat(file.fileno()).st_size
    for _ in range(TRIES):
        try:
            while True:
                status, headers, _ = ask("HEAD", path)
                if status != 200:
                    raise SystemExit(f"the upload is gone ({status}), begin again")
                offset = int(headers["Upload-Offset"])
                if offset == size:
                    return
                file.seek(offset)
                ask(
                    "PATCH", path, file.read(PIECE_BYTES), Upload_Offset=offset,
                    Content_Type="application/offset+octet-stream",
                )  # fmt: skip
        except (OSError, HTTPException) as error:
            print(f"{error or type(error).__name__}; once more", file=sys.stderr)
            time.sleep(PAUSE_S)
    raise SystemExit("the server does not answer")


def main(recording):
    """Upload, transcribe, forget."""
    kept = recording.with_name(recording.name + ".upload")
    if not kept.exists():
        status, headers, body = ask("POST", UPLOADS, Upload_Length=recording.stat().st_size)
        if status != 201:
            raise SystemExit(body.decode())
        kept.write_text(urljoin(UPLOADS, headers["Location"]))
    path = kept.read_text()
    with recording.open("rb") as file:
        send(file, path)
    status, _, body = ask("POST", urljoin(UPLOADS, f"transcribe?upload={path.rpartition('/')[2]}"))
    answer = json.loads(body)
    if not answer["success"]:
        raise SystemExit("{code}: {message} ({remedy})".format(**answer["error"]))
    print(answer["data"]["text"])
    ask("DELETE", path)
    kept.unlink()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
