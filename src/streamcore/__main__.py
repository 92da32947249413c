"""`python -m streamcore` is the command `streamcore`."""

import sys

from .cli import main

sys.exit(main())
