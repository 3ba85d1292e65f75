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
python=
for name in python3.11 python3 python; do
    if [ "$("$name" -c 'import sys; print(*sys.version_info[:2])' 2>/dev/null)" = "3 11" ]; then
        python=$name
        break
    fi
done
[ -n "$python" ] || {
    printf 'install: Python 3.11 was not found [bundle_platform]\n' >&2
    printf '  what to do: install it (Debian 12: apt install python3.11), then run this again\n' >&2
    exit 5
}
export PYTHONDONTWRITEBYTECODE=1 PYTHONNOUSERSITE=1
target=$1
shift
# Damage is found before any of this bundle's own code runs; `apply` checks the signature.
"$python" -I "$here/verify.py" "$here" --allow-unsigned >/dev/null
path=$(echo "$here"/wheels/click-*.whl)
for package in core registry bundle cli; do path=$here/src/packages/$package/src:$path; done
PYTHONPATH=$path exec "$python" -m glagol.cli.commands.bundle apply "$here" --to "$target" "$@"
