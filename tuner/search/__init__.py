"""What is tried next and what is stopped: samplers, the searcher and scheduler that Ray Tune asks, and their dispatch."""
