"""Settings of all tests."""

from hypothesis import settings

# The same examples on every run and no time limit for one: a busy machine must not fail a property that holds.
settings.register_profile("repository", derandomize=True, deadline=None)
settings.load_profile("repository")
