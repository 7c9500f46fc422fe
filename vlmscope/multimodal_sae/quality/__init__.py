"""How good an autoencoder is: on states, and with the model running on what it rebuilds."""
