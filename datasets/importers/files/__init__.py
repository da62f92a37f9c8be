"""What every reader of foreign files needs: places, links, HDF5, zarr, video, pictures, pickles."""
