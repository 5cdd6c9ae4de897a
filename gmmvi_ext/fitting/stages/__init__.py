"""The stages of a fit, a file each; `gmmvi_ext.fitting.engine` puts them in order."""
