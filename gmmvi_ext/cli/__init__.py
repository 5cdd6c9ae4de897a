"""The command `gmmvi-ext`; the only room with flags."""

from gmmvi_ext.cli.app import main, run

__all__ = ["main", "run"]
