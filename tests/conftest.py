"""What all tests share."""

import hypothesis

# A time limit for each example would fail on a machine that is busy for a moment.
hypothesis.settings.register_profile("patient", deadline=None)
hypothesis.settings.load_profile("patient")
