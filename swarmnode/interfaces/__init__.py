"""Where things plug in: one zope interface a seam, one seam a file."""
