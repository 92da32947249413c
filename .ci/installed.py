"""Loads everything that an installed streamcore offers: its public names and every adapter that is registered."""

import streamcore
from streamcore.adapter import names

for name in streamcore.__all__:
    getattr(streamcore, name)
for name in names():
    adapter = streamcore.load(name)
    adapter.framing()
    adapter.Decoder()
print(f"streamcore {streamcore.__version__}, adapters: {', '.join(names())}")
