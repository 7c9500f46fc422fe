"""What the pages of the lens show of a picture: tokens, attention, answers without some tokens."""
