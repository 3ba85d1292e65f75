"""The proof of build/proof-siege: runs the siege of tests/fault/siege.py."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from fault.siege import prove

if __name__ == "__main__":
    found = prove(quick="quick" in sys.argv[1:])
    for each in found:
        sys.stderr.write(f"FAILED: siege: {each}\n")
    sys.exit(bool(found))
