"""`python -m glagol.cli`: the `glagol` command."""

import sys

from glagol.cli.main import main

sys.exit(main())
