"""`python -m glagol.registry schema|canonical [MANIFEST]`: the two generated forms, on stdout.

schema                the JSON Schema, for manifest.schema.json
canonical MANIFEST    MANIFEST checked and in its canonical bytes
"""

from __future__ import annotations

import sys
from pathlib import Path

from glagol.core.errors import CODES, GlagolError
from glagol.registry.manifest.read import canonical, parse, schema


def main(arguments: list[str]) -> int:
    """Write what was asked for to stdout; the exit status."""
    match arguments:
        case ["schema"]:
            sys.stdout.buffer.write(schema())
        case ["canonical", path]:
            try:
                sys.stdout.buffer.write(canonical(parse(Path(path).read_bytes())))
            except GlagolError as error:
                print(f"{error}\n{error.remedy}", file=sys.stderr)
                return CODES[error.code].exit_status
        case _:
            print(__doc__, file=sys.stderr)
            return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
