"""Settings of the whole suite."""

import os

from hypothesis import settings

# Anywhere else each run looks at new examples; a build must not fail by the luck of its draw.
settings.register_profile("ci", derandomize=True, deadline=None)
settings.register_profile("dev", deadline=None)
settings.load_profile("ci" if os.environ.get("CI") else "dev")
