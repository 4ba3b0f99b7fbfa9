"""The names that the help lists are those of the registry, found without NumPy."""

import subprocess
import sys

from dualstream.heads.variants import registry
from dualstream.heads.variants.names import variant_names


def test_names_are_those_of_the_registry() -> None:
    assert sorted(variant_names()) == sorted(registry.names())


def test_names_are_found_without_numpy() -> None:
    code = (
        "import sys\nfrom dualstream.heads.variants.names import variant_names\n"
        "assert 'concat' in variant_names()\nprint('numpy' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
