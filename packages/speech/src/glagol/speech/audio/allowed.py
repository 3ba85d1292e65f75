"""Allow-list of containers and audio decoders for FFmpeg, each with its reason.

Everything else is disabled. Otherwise FFmpeg would run any of its several hundred decoders, those
of pictures included, while it probes an untrusted file, and its playlist formats would read other
files and the network.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

__all__ = ["CONTAINERS", "DECODERS", "STREAMED", "STREAMS_MAX", "SUFFIXES", "options"]

_NAMES = (
    "3gp aac ac3 aif aifc aiff amr ape asf au avi caf flac flv gsm m4a m4b m4v mka "
    "mkv mov mp2 mp3 mp4 mpeg mpg mts oga ogg ogv opus ra snd spx tta ts voc w64 wav "
    "weba webm wma wmv wv"
)
SUFFIXES = frozenset(f".{name}" for name in _NAMES.split())
"""Of files that a folder is searched for; a file that is named may have any name."""

CONTAINERS: Mapping[str, str] = MappingProxyType(
    {
        "wav": "recorders, telephony, editors; also RF64 and BW64",
        "w64": "long takes of editors",
        "aiff": "editors on Apple's systems",
        "au": "telephony, old Unix",
        "caf": "Apple's own container",
        "flac": "archives without loss",
        "mp3": "everything",
        "ogg": "Opus, Vorbis, Speex: messengers and browsers",
        "mov": "MP4, M4A, 3GP, QuickTime: phones, cameras, meetings",
        "matroska": "MKV: screen recorders",
        "webm": "what browsers record",
        "aac": "AAC without a container: radio, phones",
        "amr": "voice notes of phones",
        "asf": "WMA and WMV: dictation on Windows",
        "avi": "old cameras",
        "flv": "old webinars",
        "mpeg": "DVD, old cameras",
        "mpegts": "broadcasts, camcorders",
    }
)
"""FFmpeg's names of formats, and where such files come from."""

STREAMED = ("ogg", "matroska", "webm")
"""Of `CONTAINERS`, those that can be read while they are written."""

_PCM = "samples as they are"
_TELEPHONY = "telephony and its recorders"
_DISC = "films, discs and broadcasts"
_WMA = "Windows Media"
DECODERS: Mapping[str, str] = MappingProxyType(
    {
        "aac": "phones, meetings, films",
        "aac_latm": "AAC in broadcasts",
        "ac3": _DISC,
        "adpcm_ima_qt": "old QuickTime",
        "adpcm_ima_wav": "dictation machines",
        "adpcm_ms": "dictation machines",
        "adpcm_swf": "old webinars",
        "adpcm_yamaha": "dictation machines",
        "alac": "archives on Apple's systems",
        "amrnb": "voice notes of phones",
        "amrwb": "voice notes of phones",
        "dca": _DISC,
        "eac3": _DISC,
        "evrc": "voice notes of CDMA phones",
        "flac": "archives without loss",
        "g722": _TELEPHONY,
        "g723_1": _TELEPHONY,
        "g726": _TELEPHONY,
        "g726le": _TELEPHONY,
        "g729": _TELEPHONY,
        "gsm": _TELEPHONY,
        "gsm_ms": _TELEPHONY,
        "ilbc": _TELEPHONY,
        "mlp": _DISC,
        "mp1": _DISC,
        "mp2": _DISC,
        "mp3float": "everything",
        "nellymoser": "old webinars",
        "opus": "messengers, browsers, calls",
        "pcm_alaw": _TELEPHONY,
        "pcm_bluray": _DISC,
        "pcm_dvd": _DISC,
        "pcm_f32be": _PCM,
        "pcm_f32le": _PCM,
        "pcm_f64be": _PCM,
        "pcm_f64le": _PCM,
        "pcm_mulaw": _TELEPHONY,
        "pcm_s16be": _PCM,
        "pcm_s16le": _PCM,
        "pcm_s24be": _PCM,
        "pcm_s24le": _PCM,
        "pcm_s32be": _PCM,
        "pcm_s32le": _PCM,
        "pcm_s8": _PCM,
        "pcm_u8": _PCM,
        "qcelp": "voice notes of CDMA phones",
        "s302m": "sound of broadcasts",
        "speex": "telephony, old webinars",
        "truehd": _DISC,
        "truespeech": "dictation on old Windows",
        "tta": "archives without loss",
        "vorbis": "games, archives, browsers",
        "wavpack": "archives without loss",
        "wmalossless": _WMA,
        "wmapro": _WMA,
        "wmav1": _WMA,
        "wmav2": _WMA,
        "wmavoice": _WMA,
    }
)
"""FFmpeg's names of decoders, and where such sound comes from."""

STREAMS_MAX = 100
"""Tracks of one file; FFmpeg keeps an index for each."""

PACKET_BYTES = 1 << 15
"""Of a WAV file of plain samples. FFmpeg's own 60 ms take three times the processor time."""

SAMPLES_PER_FRAME = 1 << 20
"""In all channels: 131072 samples of the largest codec's blocks, eight times."""


def options(containers: Iterable[str] = CONTAINERS, *, searched: int = 0) -> dict[str, str]:
    """FFmpeg's options that disable everything else.

    Args:
        containers: names of formats that are accepted here.
        searched: as in `glagol.speech.audio.promises.stated.Stated`.

    Returns:
        For `av.open`, the file and its streams.
    """
    samples = {"max_size": str(PACKET_BYTES), "max_probe_packets": str(searched)}
    return {
        **(samples if searched else {}),
        "format_whitelist": ",".join(containers),
        "codec_whitelist": ",".join(DECODERS),
        "protocol_whitelist": "none",
        "max_streams": str(STREAMS_MAX),
        "max_samples": str(SAMPLES_PER_FRAME),
    }
