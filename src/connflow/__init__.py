"""The science and the artifact store of connflow; it knows no scheduler and no cluster."""

__version__ = "0.1.0"
