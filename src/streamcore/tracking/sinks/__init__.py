"""Where a ledger's records go: databases, files, functions, spans and counters. Each is a module, loaded by who uses it."""
