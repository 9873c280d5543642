"""The text-to-emoji data set: fetched, joined, rasterised, split and captioned."""
