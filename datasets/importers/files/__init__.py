"""Shared readers of foreign files: paths, links, HDF5, zarr, video, images, pickles."""
