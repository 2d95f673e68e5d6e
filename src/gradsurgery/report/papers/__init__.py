"""One module a paper: what it claims, what we ran, what came out. Found by file name, as the methods are."""
