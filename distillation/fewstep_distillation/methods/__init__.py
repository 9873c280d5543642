"""One training method a file: what is optimised, its loss, and what it leaves behind."""
