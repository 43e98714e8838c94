"""`python -m keras_spiking.train`: networks of the package, trained by one command.

- `recipe`: what there is to choose, on the command line or in a file,
- `data`: training and test data by name or folder,
- `images`: images in memory or files, augmented, as batches,
- `batches`: batches of any epoch from any step on, with mixed and smoothed labels,
- `checkpoint`: everything that a training needs to go on, in one file,
- `progress`: what is told while it trains,
- `run`: all of it put together.
"""

__all__: list[str] = []
