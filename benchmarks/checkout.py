"""The checkout that the benchmarks lie in, put first on the path: what they measure is the code beside them.

import checkout  # before anything of dualstream
"""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

if str(ROOT) not in sys.path[:1]:
    sys.path.insert(0, str(ROOT))
