# Copy the image's store of models, whose files are named by their digests, into the shared volume. One pod
# copies at a time; a file appears under its name only when it is whole, and is never written again. The
# server hashes what it opens, so that a damaged volume stops it instead of changing its words.
set -eu
from=${1:-/opt/glagol/store} to=${2:-/models}
exec 9>"$to/.lock"
flock 9
cd "$from"
find . -type f | while IFS= read -r name; do
    [ -e "$to/$name" ] && continue
    mkdir -p "$to/${name%/*}"
    cp "$name" "$to/$name.new"
    mv "$to/$name.new" "$to/$name"
done
