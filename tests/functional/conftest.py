"""Timings are no part of a property, least of all on a busy machine."""

from hypothesis import settings

settings.register_profile("firstsight", deadline=None)
settings.load_profile("firstsight")
