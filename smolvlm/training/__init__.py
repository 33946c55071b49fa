"""Training: stages, mixtures and the loop, on one core, one GPU or many (extra `train`)."""
