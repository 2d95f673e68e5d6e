"""A certificate: which promises a method of your own keeps, and the smallest gradients that break another.

The same from the command line, which also ends what hangs:
gradsurgery certify examples/certify_your_own.py:drop_opposed --only permutation,mean_descent,non_conflict --limit 20
"""

import torch

from gradsurgery import certify
from gradsurgery.certify import tables


def drop_opposed(J):
    """Leaves out every task that is opposed to the mean gradient."""
    agrees = (J @ J.mean(dim=0)) >= 0.0
    return J[agrees].sum(dim=0) if agrees.any() else torch.zeros_like(J[0])


drop_opposed.claims = ("permutation", "mean_descent", "non_conflict")

if __name__ == "__main__":
    names = [*drop_opposed.claims, "zero_rows"]
    found = certify.certify(
        certify.subject(drop_opposed), names, examples=30, told=lambda each: print(tables.line(each))
    )
    print(tables.summary("drop_opposed", found))

    [broken] = certify.broken_claims(found)
    [J] = [eval(finding.counterexample) for finding in found if finding.name == broken]
    print(f"{broken}: J @ d =", (J @ drop_opposed(J)).tolist())
