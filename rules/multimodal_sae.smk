# multimodal-sae: sparse autoencoders (arXiv 2411.14982).
