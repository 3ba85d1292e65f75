"""`python -m glagol.rag`: the server, configured by `RAG_*`, GLAGOL_HOME and GLAGOL_STORE."""

import sys

from glagol.rag.http.server import main

sys.exit(main())
