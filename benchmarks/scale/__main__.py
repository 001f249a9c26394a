"""Write the figures of benchmarks/results/scale.txt into docs/scale.md: ``python -m benchmarks.scale``."""

import sys

from benchmarks.scale.page import main

sys.exit(main())
