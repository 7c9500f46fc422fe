"""What neurons do at the image's tokens: maps, masks, and the tokens in another order."""
