"""`python -m glagol.embed`: the server, configured by `EMBED_*`, GLAGOL_HOME and GLAGOL_STORE."""

import sys

from glagol.embed.server import main

sys.exit(main())
