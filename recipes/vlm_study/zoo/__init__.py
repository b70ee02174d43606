"""A dozen small models that differ in tower, loss, data, size and length of training, made in minutes on one GPU."""
