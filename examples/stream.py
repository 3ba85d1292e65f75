"""Transcribe a recording, or a microphone, while it plays.

    python examples/stream.py speech.wav
    arecord -q -t raw -f S16_LE -r 16000 | python examples/stream.py -

Needs the package `websockets`. The protocol is described in docs/reference/streaming.md.
"""

import argparse
import asyncio
import json
import os
import sys
import wave

from websockets.asyncio.client import connect

PIECE_S = 0.1


def opened(name):
    """A source of raw samples with its rate and channels."""
    if name == "-":
        return sys.stdin.buffer.read, 16_000, 1
    file = wave.open(name)  # noqa: SIM115 - read until the end of the program
    if file.getsampwidth() != 2:
        raise SystemExit(f"{name} does not hold 16-bit samples")
    frame = 2 * file.getnchannels()
    return lambda size: file.readframes(size // frame), file.getframerate(), file.getnchannels()


async def send(socket, read, rate, channels, speed):
    """The start, the audio at `speed` times real time (0: as fast as it goes), the end."""
    await socket.send(json.dumps({"type": "start", "rate": rate, "channels": channels}))
    size = int(PIECE_S * rate) * 2 * channels
    while piece := await asyncio.to_thread(read, size):
        await socket.send(piece)
        if speed:
            await asyncio.sleep(PIECE_S / speed)
    await socket.send('{"type":"finish"}')


async def show(socket):
    """Finals as lines, the guess at the line that grows on stderr."""
    async for text in socket:
        message = json.loads(text)
        if message["type"] == "partial":
            print(f"\r\033[K{message['text']}", end="", file=sys.stderr, flush=True)
        elif message["type"] == "final":
            print("\r\033[K", end="", file=sys.stderr, flush=True)
            print(message["segment"]["text"], flush=True)
        elif message["type"] == "error":
            raise SystemExit("{code}: {message} ({remedy})".format(**message["error"]))
        elif message["type"] == "done":
            print(json.dumps(message["provenance"]), file=sys.stderr)


async def main():
    """Run with the arguments of the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", help="WAV with 16-bit samples, or - for raw 16 kHz mono on stdin")
    parser.add_argument("--url", default="ws://127.0.0.1:8080/v1/stream")
    parser.add_argument("--speed", type=float, default=1.0, help="times real time; 0: no pacing")
    given = parser.parse_args()
    key = os.environ.get("GLAGOL_KEY")
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    async with connect(given.url, additional_headers=headers, proxy=None) as socket:
        sending = asyncio.create_task(send(socket, *opened(given.file), given.speed))
        await show(socket)
        await sending


if __name__ == "__main__":
    asyncio.run(main())
