"""Under the chapters on densities: histogram, kernel and nearest-neighbour estimates, and the sums that they take."""
