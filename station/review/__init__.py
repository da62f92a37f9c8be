"""Looking at what was recorded: which episodes there are, one of them frame by frame, at which speed. No widgets."""
