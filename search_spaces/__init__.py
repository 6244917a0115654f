"""Search spaces for Keras networks, in the words of Optuna and Keras; never Ray's.

`spaces.SPACES` are the built-in ones. Importing this package imports nothing, and no module of it imports Keras before a network is built.
"""
