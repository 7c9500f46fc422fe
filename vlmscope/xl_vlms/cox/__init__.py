"""What dictionaries are worth: CLIPScore, BERTScore, drawn truth, the token, other models; tables."""
