"""Under the chapters on optimal transport: exact plans and potentials, the line, entropic plans, critics."""
