"""What pyproject.toml cannot say: top-level folders travel in the wheel, in curate/bundled_files.

In an editable installation nothing is copied: curate.bundled finds the folders at the top of the checkout.
"""

from setuptools import find_packages, setup

FOLDERS = ("data_cards", "manifests", "recipes", "samples")

setup(
    packages=[
        *find_packages(include=["curate*", "trainer*"]),
        *(f"curate.bundled_files.{name}" for name in FOLDERS),
    ],
    package_dir={f"curate.bundled_files.{name}": name for name in FOLDERS},
)
