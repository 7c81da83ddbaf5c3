"""Settings of all tests."""

from hypothesis import settings

# A busy machine is no failure: speed is measured by the scripts in bench/, never by a test.
settings.register_profile("ballspot", deadline=None)
settings.load_profile("ballspot")
