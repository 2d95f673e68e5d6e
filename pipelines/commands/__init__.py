"""The subcommands of `gradsurgery` that need the checkout: they know paths, YAML and stages, the library does not."""
