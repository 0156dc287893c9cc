"""Key and value caches behind one interface."""
