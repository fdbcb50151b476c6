"""The helpers beside the libraries that a user would pick instead: the same work, at the same accuracy, in one run."""
