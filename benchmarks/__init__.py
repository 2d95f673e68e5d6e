"""Time and memory of a step against peers. Scripts, never collected by pytest: `python -m benchmarks --help`."""
