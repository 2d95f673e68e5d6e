"""The engine: what every experiment and every training loop of a user's own needs. Imports torch and nothing of ours.

Glossary: K tasks, P shared parameters, `J` (K, P) task gradients, `G = J J^T`, `w` (K,) weights, `d` (P,) direction,
`g0` mean gradient. The full list stands in `interfaces.py`.
"""
