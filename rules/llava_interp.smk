# llava-interp: logit lens pages, visual-token ablation, attention blocking (arXiv 2410.07149).
