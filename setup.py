"""Metadata is in setup.cfg; this adds what that cannot say: `configs/` is `gmmvi_ext.configs`."""

from setuptools import find_packages, setup

setup(
    packages=[*find_packages(include=["gmmvi_ext", "gmmvi_ext.*"]), "gmmvi_ext.configs"],
    package_dir={"gmmvi_ext.configs": "configs"},
)
