"""What all tests share."""

import hypothesis

# A time limit for an example, or for drawing it, would fail on a machine that is busy for a moment.
hypothesis.settings.register_profile("patient", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("patient")
