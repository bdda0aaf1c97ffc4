"""``python -m dicomzarr``: the command line, where its script is not on the path."""

import sys

from dicomzarr.faces.cli import main

sys.exit(main())
