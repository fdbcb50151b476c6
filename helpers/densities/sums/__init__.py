"""Sums of kernels over many data at many points, without the matrix of all pairs: one module an algorithm."""
