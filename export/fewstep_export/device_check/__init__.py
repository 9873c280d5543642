"""`fewstep check BUNDLE --device BOARD`: whether a bundle will build and fit on a board, from its graphs alone."""
