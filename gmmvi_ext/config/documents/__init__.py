"""The kinds of configuration files."""

from gmmvi_ext.config.document import Document
from gmmvi_ext.config.documents.mixture import MIXTURE
from gmmvi_ext.config.documents.vae import VAE

__all__ = ["DOCUMENTS", "MIXTURE", "VAE"]

# Value of the key `model` -> document; the first is meant where a file has no such key.
DOCUMENTS: dict[str, Document] = {document.name: document for document in (MIXTURE, VAE)}
