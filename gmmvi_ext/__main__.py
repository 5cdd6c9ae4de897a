"""`python -m gmmvi_ext`, the same as the command `gmmvi-ext`."""

from gmmvi_ext.cli import run

if __name__ == "__main__":
    run()
