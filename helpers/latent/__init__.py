"""Under the chapters on latent variables: mixtures, hidden Markov models, variational autoencoders, Helmholtz machines."""
