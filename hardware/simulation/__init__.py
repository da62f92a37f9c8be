"""The embedded cell: a simulated xArm-6 without OpenGL, and a scripted demonstrator for it."""
