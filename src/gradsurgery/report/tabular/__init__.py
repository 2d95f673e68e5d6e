"""Tables of numbers and categories with binary tasks: where every line stands beside MMoE, in tables and figures."""
