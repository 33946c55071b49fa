"""The network in PyTorch: the readable reference, what training changes, and what runs on CUDA.

Import from the modules; nothing is re-exported here, so that a core install without torch can still
see the package.
"""
