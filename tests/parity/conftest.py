"""Files of tests that need all stored outputs are read only where those are at hand (`make test-parity`)."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from fill import whole

collect_ignore_glob = [] if whole("personalive") else ["test_*_whole.py"]
