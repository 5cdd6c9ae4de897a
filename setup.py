"""Metadata is in setup.cfg; this adds what that cannot say: which folders lie inside the package.

`configs/` is `gmmvi_ext.configs`, `scripts/examples/` is `gmmvi_ext.examples`.
"""

from setuptools import find_packages, setup

setup(
    packages=[
        *find_packages(include=["gmmvi_ext", "gmmvi_ext.*"]),
        "gmmvi_ext.configs",
        "gmmvi_ext.examples",
    ],
    package_dir={"gmmvi_ext.configs": "configs", "gmmvi_ext.examples": "scripts/examples"},
)
