"""LivePortrait's networks in our own code, with the names and shapes of the official checkpoints.

`size` holds the numbers, `appearance`, `motion`, `warping`, `decoder` and `retarget` a network each, `keypoints` what
happens between them. Source: LivePortrait (Guo and others 2024, arXiv 2407.03168) and its released configuration; the
oddities of the official networks are kept and named where they are.
"""
