# Run through ./just, which brings just and uv themselves. Each environment is made from its lock.
set positional-arguments
set quiet

glagol := "build/python asr-cpu -m glagol.cli"

[private]
default:
    just --justfile "{{justfile()}}" --list --unsorted

# set up, verify the embedded model, transcribe a real file, print text and WER
[group('use')]
demo: setup
    {{glagol}} models verify gigaam-nano silero-vad
    {{glagol}} demo

# start the server on http://localhost:8080
[group('use')]
serve *ARGS: setup
    {{glagol}} serve "$@"

# any command of the CLI, in its locked environment: ./just glagol transcribe FILE
[group('use')]
glagol *ARGS:
    {{glagol}} "$@"

# the serving environment and the embedded models, checked by digest
[group('use')]
setup:
    build/setup

# all tests that need no more than this repository (arguments go to pytest)
[group('check')]
test *ARGS: setup
    build/python dev -m pytest -n 2 "$@"

# ruff and mypy --strict
[group('check')]
check:
    build/env dev && .env/dev/bin/ruff check --quiet && .env/dev/bin/ruff format --check --quiet
    .env/dev/bin/mypy

# llm-server against a real vLLM on this CPU and a tiny model made on the spot
[group('check')]
test-llm *ARGS: setup
    build/test-llm "$@"

# our graphs beside a checkout of upstream GigaAM, on seeded weights
[group('check')]
parity-upstream DIR *ARGS: setup
    build/parity-upstream "$@"

# slow proofs, each a script build/proof-NAME: native forge rebuild packages nix bazel image processors s3 v3 jobs service siege hours fuzz people speakers
[group('check')]
proof +NAMES:
    for name in "$@"; do "build/proof-$name" || exit 1; done

# benchmarks with ratios; ./just bench vad runs one
[group('check')]
bench *NAMES: setup
    build/env dev && sh benchmarks/run "$@"

# make the environment of one lock: ./just env forge
[group('build')]
env NAME:
    build/env "$1"

# resolve lock/*.in again (needs an index)
[group('build')]
lock:
    build/lock

# the offline bundle of this commit, its locks and its manifest, in dist/
[group('build')]
bundle-offline *ARGS: setup
    case " $* " in *"variant full "* | *"variant=full "*) set -- asr-cuda llm-cuda ;; *"variant cuda "* | *"variant=cuda "*) set -- asr-cuda ;; *) set -- asr-cpu ;; esac; \
        build/wheels .work/wheels tools/uv "$@"
    {{glagol}} bundle pack "$@"

# train gigaam-nano from nothing but synthesised speech
[group('build')]
train-nano *ARGS:
    build/python forge -m glagol.forge.nano all "$@"

# regenerate gigaam-nano's test clips and print its WER table
[group('build')]
eval-nano *ARGS: setup
    build/python forge -m glagol.forge.nano eval --engine "$@"
