"""Settings of all tests."""

from __future__ import annotations

from hypothesis import settings

# A loaded machine is no reason to fail: no test measures time.
settings.register_profile("dsb", deadline=None, print_blob=True)
settings.load_profile("dsb")
