#!/bin/sh
# Transcribe a recording with curl: sh examples/transcribe.sh speech.ogg [json|text|tsv|srt|vtt]
# GLAGOL_URL is the server, GLAGOL_KEY the key if the server wants one.
set -eu
exec curl -sS --fail-with-body ${GLAGOL_KEY:+-H "Authorization: Bearer $GLAGOL_KEY"} \
    -F "file=@$1" "${GLAGOL_URL:-http://127.0.0.1:8080}/v1/transcribe?format=${2:-text}"
