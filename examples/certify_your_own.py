"""A certificate: which promises a method of your own keeps, and the smallest gradients that break another."""

import torch

from gradsurgery import certify
from gradsurgery.certify import tables


def drop_opposed(J):
    """Leaves out every task that is opposed to the mean gradient."""
    agrees = (J @ J.mean(dim=0)) >= 0.0
    return J[agrees].sum(dim=0) if agrees.any() else torch.zeros_like(J[0])


drop_opposed.claims = ("permutation", "mean_descent", "non_conflict")

subject = certify.subject(drop_opposed)
found = certify.certify(subject, ["permutation", "mean_descent", "non_conflict", "zero_rows"], examples=30, limit=20.0)
print(tables.head())
for finding in found:
    print(tables.line(finding))
print(tables.summary("drop_opposed", found))

[broken] = certify.broken_claims(found)
[J] = [eval(finding.counterexample) for finding in found if finding.name == broken]
print(f"\n{broken}: J @ d =", (J @ drop_opposed(J)).tolist())
