"""Results as files of the released code, and such files as results."""
