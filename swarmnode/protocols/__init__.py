"""How bytes become events: deterministic machines without sockets, clocks or threads."""
