"""The proof of build/proof-jobs: runs the kills of tests/fault/queue_kill.py, ROUNDS times each."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from fault.queue_kill import prove

if __name__ == "__main__":
    prove(int(sys.argv[1]), seed=7)
