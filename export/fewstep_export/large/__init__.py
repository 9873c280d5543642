"""Export of networks that do not fit into memory several times: traced without weights, which go from file to file one at a time."""
