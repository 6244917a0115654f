"""What users' own files and words do: small inputs as people bring them, held against values worked out without Tuner."""
