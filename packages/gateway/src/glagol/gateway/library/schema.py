"""The tables of the library in SQLite.

`machine` and `edit` are only ever inserted into; `segment`, `speaker` and `word_fts` follow from
them and could be made again.
"""

from __future__ import annotations

from typing import Final

__all__ = ["SCHEMA", "SCHEMA_VERSION"]

SCHEMA_VERSION: Final = 1
SCHEMA: Final = """
CREATE TABLE folder (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE,
    audio_days INTEGER, text_days INTEGER) STRICT;
CREATE TABLE access (folder INTEGER NOT NULL REFERENCES folder(id), who TEXT NOT NULL,
    may TEXT NOT NULL, PRIMARY KEY (folder, who)) STRICT, WITHOUT ROWID;
CREATE TABLE recording (number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE,
    folder INTEGER NOT NULL REFERENCES folder(id), owner TEXT NOT NULL, title TEXT NOT NULL,
    created_s REAL NOT NULL, audio_sha256 TEXT NOT NULL, bytes INTEGER NOT NULL,
    duration_ms INTEGER, channels INTEGER, state TEXT NOT NULL, job TEXT NOT NULL,
    trouble TEXT NOT NULL, held INTEGER NOT NULL, model TEXT NOT NULL, runs INTEGER NOT NULL,
    text_sha256 TEXT NOT NULL, options TEXT NOT NULL, sound TEXT NOT NULL,
    peaks INTEGER NOT NULL) STRICT;
CREATE INDEX recording_by_folder ON recording (folder, number);
CREATE INDEX recording_by_state ON recording (state, number);
CREATE TABLE machine (recording INTEGER NOT NULL, number INTEGER NOT NULL, made_s REAL NOT NULL,
    job TEXT NOT NULL, model TEXT NOT NULL, warnings TEXT NOT NULL, language TEXT NOT NULL,
    result_sha256 TEXT NOT NULL,
    result BLOB NOT NULL,
    PRIMARY KEY (recording, number)) STRICT;
CREATE TABLE edit (recording INTEGER NOT NULL, number INTEGER NOT NULL, made_s REAL NOT NULL,
    person TEXT NOT NULL, operation TEXT NOT NULL, undo TEXT NOT NULL,
    before_sha256 TEXT NOT NULL, after_sha256 TEXT NOT NULL, previous TEXT NOT NULL,
    hash TEXT NOT NULL, PRIMARY KEY (recording, number)) STRICT;
CREATE TABLE segment (row INTEGER PRIMARY KEY AUTOINCREMENT, recording INTEGER NOT NULL,
    id INTEGER NOT NULL, start_ms INTEGER NOT NULL, speaker TEXT NOT NULL, edited INTEGER NOT NULL,
    sha256 TEXT NOT NULL, data BLOB NOT NULL, UNIQUE (recording, id)) STRICT;
CREATE INDEX segment_by_time ON segment (recording, start_ms, id);
CREATE TABLE speaker (recording INTEGER NOT NULL, key TEXT NOT NULL, name TEXT NOT NULL,
    PRIMARY KEY (recording, key)) STRICT, WITHOUT ROWID;
CREATE VIRTUAL TABLE word_fts USING fts5(stems, content='', tokenize='unicode61');
CREATE TABLE receipt (number INTEGER PRIMARY KEY AUTOINCREMENT, at_s REAL NOT NULL,
    who TEXT NOT NULL, recording TEXT NOT NULL, audio_sha256 TEXT NOT NULL,
    text_sha256 TEXT NOT NULL, why TEXT NOT NULL) STRICT;
CREATE TABLE session (sha256 TEXT PRIMARY KEY, name TEXT NOT NULL, key_sha256 TEXT NOT NULL,
    made_s REAL NOT NULL, used_s REAL NOT NULL) STRICT, WITHOUT ROWID;
INSERT INTO folder (id, name) VALUES (1, '');
"""
