"""What holds for every test."""

import os

# As the front door sets it: torch reads it when it loads.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
