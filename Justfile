# Run through ./just, which brings just and uv themselves. Each environment is made from its lock.
set positional-arguments
set quiet

glagol := quote(justfile_directory() / "build/python") + " asr-cpu -m glagol.cli"

[private]
[no-exit-message]
default:
    just --justfile "{{justfile()}}" --list --unsorted

# set up, verify the embedded model, transcribe a real file, print text and WER; demo whisper-base: a person's words
[group('use'), no-exit-message]
demo MODEL="": setup
    if [ -n "$1" ]; then {{glagol}} models build "$1" --fetch --missing; fi
    {{glagol}} models verify ${1:-gigaam-nano} silero-vad
    {{glagol}} demo ${1:+--model "$1"}

# start the server on http://localhost:8080
[group('use'), no-exit-message]
serve *ARGS: setup
    {{glagol}} serve "$@"

# any command of the CLI, in its locked environment, also ./glagol: ./just glagol transcribe FILE
[group('use'), no-cd, no-exit-message]
glagol *ARGS:
    {{glagol}} "$@"

# the serving environment and the embedded models, checked by digest
[group('use'), no-exit-message]
setup:
    build/setup

# all tests but the slow ones, which are ./just test -m slow (arguments go to pytest)
[group('check'), no-exit-message]
test *ARGS: setup
    [ "$#" -gt 0 ] || set -- -m 'not slow'; build/python dev -m pytest -n 2 "$@"

# ruff and mypy --strict
[group('check'), no-exit-message]
check:
    build/env dev && .env/dev/bin/ruff check --quiet && .env/dev/bin/ruff format --check --quiet
    .env/dev/bin/mypy

# llm-server against a real vLLM on this CPU and a tiny model made on the spot
[group('check'), no-exit-message]
test-llm *ARGS: setup
    build/test-llm "$@"

# the pages in Chromium over a real server: uploads, edits, accessibility; pictures go to .work/pictures
[group('check')]
test-ui *ARGS: setup
    build/test-ui "$@"

# our graphs beside a checkout of upstream GigaAM, on seeded weights
[group('check'), no-exit-message]
parity-upstream DIR *ARGS: setup
    build/parity-upstream "$@"

# slow proofs, each a script build/proof-NAME: docs proofs pythons native forge rebuild packages nix bazel image processors s3 kubernetes v3 jobs servers service siege jail library hours fuzz people speakers archive search numbers
[group('check'), no-exit-message]
proof +NAMES:
    for name in "$@"; do "build/proof-$name" || exit 1; done

# benchmarks with ratios; ./just bench vad runs one
[group('check'), no-exit-message]
bench *NAMES: setup
    build/env dev && sh benchmarks/run "$@"

# make the environment of one lock: ./just env forge
[group('build'), no-exit-message]
env NAME:
    build/env "$1"

# resolve lock/*.in again (needs an index)
[group('build'), no-exit-message]
lock:
    build/lock

# the offline bundle of this commit, its locks and its manifest, in dist/
[group('build'), no-exit-message]
bundle-offline *ARGS: setup
    build/bundle-offline "$@"

# train gigaam-nano from nothing but synthesised speech
[group('build'), no-exit-message]
train-nano *ARGS:
    build/python forge -m glagol.forge.nano all "$@"

# regenerate gigaam-nano's test clips and print its WER table
[group('build'), no-exit-message]
eval-nano *ARGS: setup
    build/python forge -m glagol.forge.nano eval --engine "$@"

# how well search finds what the kept questions ask for, by kind: recall, MRR, nDCG of meaning, words, both
[group('check'), no-exit-message]
eval-search: setup
    build/eval-search
