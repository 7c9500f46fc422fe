"""Files of the released code, in and out: features, sets, dictionaries, forced answers, shifts, vectors."""
