"""How many examples hypothesis tries. The profile is in the environment variable ``KVLINE_TEST_PROFILE``."""

from __future__ import annotations

import os

from hypothesis import settings

ALL, QUICK, THOROUGH = "all", "quick", "thorough"
EXAMPLES = 50
"""Of a test, in the profile ``all``."""

settings.register_profile(ALL, deadline=None, max_examples=EXAMPLES, print_blob=True)
settings.register_profile(QUICK, parent=settings.get_profile(ALL), max_examples=15)
settings.register_profile(THOROUGH, parent=settings.get_profile(ALL), max_examples=10 * EXAMPLES)
settings.load_profile(os.environ.get("KVLINE_TEST_PROFILE", ALL))


def examples(count: int) -> int:
    """Return the number of examples in this profile of a test that tries ``count`` of them in the profile ``all``."""
    return max(1, count * settings.default.max_examples // EXAMPLES)
