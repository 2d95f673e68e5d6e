"""Certificates: which promises a method keeps, searched for the smallest gradients that break one.

    gradsurgery certify my_pkg:fn --claims non_conflict,permutation
    pytest --surgery my_pkg:fn

A method declares what it claims by an attribute `claims`, names of properties (or name -> tolerance of its own), and
the published method that it computes by `implements`, such as "mgda" or "cagrad:c=0.4".
"""

from gradsurgery.core.extras import need

need("certify", "hypothesis")

from gradsurgery.certify.declared import subject  # noqa: E402 - after the sentence that says what is missing
from gradsurgery.certify.limit import certify_within  # noqa: E402
from gradsurgery.certify.search import Finding, broken_claims, certify, unanswered_claims  # noqa: E402
from gradsurgery.certify.subject import Subject  # noqa: E402

__all__ = ["Finding", "Subject", "broken_claims", "certify", "certify_within", "subject", "unanswered_claims"]
