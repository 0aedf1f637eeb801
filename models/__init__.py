"""Portrait and speech in, video out. Knows tensors and pixels, nothing of Ray or HTTP."""
