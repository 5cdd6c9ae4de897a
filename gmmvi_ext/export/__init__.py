"""Posteriors for others: SavedModel, its portable form, plain data, pandas, ArviZ."""

from gmmvi_ext.export.arviz_data import to_arviz
from gmmvi_ext.export.module import ExportedPosterior
from gmmvi_ext.export.safety import UnsafeExportError, check_operations
from gmmvi_ext.export.saved_model import export_saved_model, load_saved_model
from gmmvi_ext.export.tables import to_dataframe
from gmmvi_ext.export.verification import ExportVerificationError, verify_export

__all__ = [
    "ExportVerificationError",
    "ExportedPosterior",
    "UnsafeExportError",
    "check_operations",
    "export_saved_model",
    "load_saved_model",
    "to_arviz",
    "to_dataframe",
    "verify_export",
]
