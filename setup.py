"""One package is installed, `dualstream`; its parts are at the top of the checkout.."""

import shutil
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

PARTS = ("features", "heads", "pipeline")
MANIFEST = "data_manifest.csv"


class BuildWithManifest(build_py):
    """Puts MELD's manifest, which stands at the top of the checkout too, into the package."""

    def run(self):
        super().run()
        if not self.editable_mode:
            shutil.copy(MANIFEST, Path(self.build_lib) / "dualstream" / MANIFEST)


packages = find_packages(include=[pattern for part in PARTS for pattern in (part, f"{part}.*")])
setup(
    packages=["dualstream", *(f"dualstream.{name}" for name in packages)],
    package_dir={"dualstream": "dualstream", **{f"dualstream.{part}": part for part in PARTS}},
    package_data={"dualstream": ["py.typed"]},
    cmdclass={"build_py": BuildWithManifest},
)
