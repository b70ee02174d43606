"""The study of energy: how well scores tell unknown images, and what fine-tuning with outliers does to them."""
