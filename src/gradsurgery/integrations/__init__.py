"""Other people's packages, thinly: nothing of them is imported before it is used, and each is optional."""
