"""AlignMamba (CVPR 2025): local alignment by optimal transport, global alignment by MMD, fusion by Mamba."""
