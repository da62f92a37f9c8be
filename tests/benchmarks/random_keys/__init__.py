"""Random keys on two screens before an emulated arm; see `__main__`."""
