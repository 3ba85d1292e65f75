#!/bin/sh
# Installs this unpacked bundle without root and without a network:
#     sh install.sh TARGET --signers ALLOWED_SIGNERS
# Further options are those of `glagol bundle apply` (--allow-unsigned, --downgrade).
set -eu
here=$(cd "$(dirname "$0")" && pwd)
[ "$#" -ge 1 ] || {
    printf 'usage: sh install.sh TARGET --signers ALLOWED_SIGNERS\n' >&2
    exit 2
}
# what finds a Python runs before the check of the bundle; it is as trusted as this file
. "$here/src/build/find-python"
find_python || {
    printf 'install: Python 3.11 to 3.14 was not found (found: %s) [bundle_platform]\n' "${found:-none}" >&2
    printf '  what to do: %s; then run this again\n' "$(python_hint)" >&2
    exit 5
}
export PYTHONDONTWRITEBYTECODE=1 PYTHONNOUSERSITE=1
target=$1
shift
# Damage is found before any of this bundle's own code runs; `apply` checks the signature.
"$python" -I "$here/verify.py" "$here" --allow-unsigned >/dev/null
path=$(echo "$here"/wheels/click-*.whl)
for package in core registry bundle cli; do path=$here/src/packages/$package/src:$path; done
PYTHONPATH=$path "$python" -m glagol.cli.commands.bundle apply "$here" --to "$target" "$@"

# The command on PATH: beside a user's own programs, or for all users when this is root. GLAGOL_BIN names
# another folder; empty means no link. What is there and not ours is left alone.
target=$(cd "$target" && pwd)
if [ "$(id -u)" = 0 ]; then bin=/usr/local/bin; else bin=${HOME:-/nonexistent}/.local/bin; fi
bin=${GLAGOL_BIN-$bin}
link=$bin/glagol
if [ -z "$bin" ] || ! mkdir -p "$bin" 2>/dev/null || ! [ -w "$bin" ]; then
    printf 'the command: %s\n' "$target/current/bin/glagol"
elif [ -L "$link" ] || ! [ -e "$link" ]; then
    case $(readlink "$link" 2>/dev/null || true) in
        '' | */current/bin/glagol)
            ln -sfn "$target/current/bin/glagol" "$link"
            printf 'the command: %s -> %s\n' "$link" "$target/current/bin/glagol"
            case :$PATH: in *":$bin:"*) ;; *) printf '%s is not on PATH yet: export PATH="%s:$PATH"\n' "$bin" "$bin" ;; esac
            ;;
        *) printf 'the command: %s (%s is another program and was left alone)\n' "$target/current/bin/glagol" "$link" ;;
    esac
else
    printf 'the command: %s (%s is another program and was left alone)\n' "$target/current/bin/glagol" "$link"
fi
