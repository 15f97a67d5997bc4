"""Baselines on the input of AlignMamba, each in the plainest form that keeps its idea; `registry` names them all.

All read the same batches with the configured width, dropout and heads, and are trained in one stage; what follows the
source and what is simpler is stated in each docstring. Weights of auxiliary losses are constants, not tuned for any
dataset.
"""
