"""From a pipe of bytes to authenticated streams: multistream-select, Noise, yamux."""
