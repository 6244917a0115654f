"""Reports: views of a leaderboard, computed from it alone and never read back."""
