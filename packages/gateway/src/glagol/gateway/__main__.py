"""`python -m glagol.gateway`: gateway-server, configured by `GATEWAY_*`."""

import sys

from glagol.gateway.server import main

sys.exit(main())
