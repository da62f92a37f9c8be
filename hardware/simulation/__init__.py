"""The embedded cell: a simulated xArm-6 workplace without OpenGL, and a scripted demonstrator for it."""
