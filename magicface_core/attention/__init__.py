"""Where the denoiser looks: recording attention, maps, sheets (paper, Fig. 9)."""
