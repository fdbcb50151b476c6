"""Under the chapters on latent variables: mixtures, Markov chains, variational autoencoders, Helmholtz machines."""
