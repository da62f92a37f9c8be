"""The ground floor: the vocabulary of observations, actions and episodes, and the memory that keeps them.

Nothing here knows a policy, a robot or a screen. The name is also the name of a package by Hugging Face; this
project lives in its own virtual environment and never imports that one.
"""
