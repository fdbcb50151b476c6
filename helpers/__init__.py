"""The code under the book *Generative Modelling, Checked*: one module a topic, torch tensors in and out."""
