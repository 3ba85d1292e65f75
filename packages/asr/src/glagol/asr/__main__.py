"""`python -m glagol.asr`: the server, configured by `ASR_*`, GLAGOL_HOME and GLAGOL_STORE."""

import sys

from glagol.asr.server import main

sys.exit(main())
