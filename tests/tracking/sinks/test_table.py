from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamcore.tracking.sinks import table as module


@given(st.decimals(min_value=0, max_value=10**9, places=12))
def test_money_is_rounded_to_billionths_half_to_even(amount):
    nano = module._nano(amount)
    assert abs(Decimal(nano) - amount * 10**9) <= Decimal("0.5")


@pytest.mark.parametrize(("amount", "nano"), [("0.0000000005", 0), ("0.0000000015", 2), ("NaN", None), ("1e11", None)])
def test_money_at_the_edges(amount, nano):
    assert module._nano(Decimal(amount)) == nano
