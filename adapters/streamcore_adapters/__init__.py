"""Wire formats: one package or module for each provider, found by the entry points of `streamcore.adapters`."""
