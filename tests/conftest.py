"""Settings of all tests."""

from hypothesis import HealthCheck, settings

# A busy machine is no failure: speed is measured by the scripts in bench/, never by a test.
settings.register_profile("ballspot", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("ballspot")
