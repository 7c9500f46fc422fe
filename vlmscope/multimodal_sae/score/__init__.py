"""How well names fit: regions, CLIP, consistency, judges; the best latent of every word."""
