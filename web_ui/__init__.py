"""The browser client: static files that the node serves; there is nothing to import here."""
