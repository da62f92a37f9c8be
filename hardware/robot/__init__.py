"""The cell made of real devices: arms with their controllers, grippers, cameras, and the interlocks between them."""
