"""States given back to a model that lost the picture, or put into a picture with another object."""
