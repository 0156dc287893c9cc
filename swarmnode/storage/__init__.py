"""The database, the keys and the other files a node keeps."""
