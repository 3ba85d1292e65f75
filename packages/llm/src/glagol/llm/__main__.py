"""`python -m glagol.llm`: the server, configured by `LLM_*`, GLAGOL_HOME and GLAGOL_STORE."""

import sys

from glagol.llm.server import main

sys.exit(main())
