"""Many runs in one folder: its points, the processes that train them, what they found."""
