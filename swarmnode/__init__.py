"""A Twisted peer node that lets people run large language models together."""

__version__ = "0.1.0"
