"""Loads everything that an installed streamcore offers: its public names, every adapter and every dialect."""

import streamcore
from streamcore import adapter, dialect
from streamcore.dialect import Call
from streamcore.request import Request

for name in streamcore.__all__:
    getattr(streamcore, name)
for name in adapter.names():
    called = streamcore.load(name)
    called.framing()
    called.Decoder()
for name in dialect.names():
    dialect.load(name).Encoder(Call(request=Request(messages=())))
print(f"streamcore {streamcore.__version__}")
print(f"adapters: {', '.join(adapter.names())}")
print(f"dialects: {', '.join(dialect.names())}")
