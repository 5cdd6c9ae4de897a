"""The report of a posterior and its verdict."""
