"""A module whose import takes long: what is preloaded where Ctrl-C comes early."""

import time
from pathlib import Path

Path("importing").touch()
time.sleep(2)
