"""The bottom layer: types for observations, actions and episodes, and the storage that keeps them.

Nothing here knows a policy, a robot or a screen. Hugging Face has a package of the same name; this project runs in
its own virtual environment and never imports it.
"""
