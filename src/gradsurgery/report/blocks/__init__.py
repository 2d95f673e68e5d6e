"""One file a kind of block that a paper's section may declare, found by name; `part` makes what it holds."""
