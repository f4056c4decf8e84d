"""nsqlookupd, the discovery process: it knows which nsqd has which topics and channels, and tells whoever asks."""
