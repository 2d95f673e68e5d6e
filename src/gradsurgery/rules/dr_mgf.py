"""DR-MGF: every task trains the network for an epoch, then what they changed is fused kernel by kernel."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from gradsurgery.core.interfaces import Metrics
from gradsurgery.core.run import Run
from gradsurgery.rules._mgf_begin import begin, check_run
from gradsurgery.rules._mgf_epoch import Epoch
from gradsurgery.rules._mgf_settings import Settings


@dataclass(frozen=True)
class DRMGF(Settings):
    """Lets each task train the network for a whole epoch, then fuses the changes, weighted by learned importance.

    Source: DR-MGF, arXiv 2305.19844 (v2, 2025), as the authors' multi-task code at 4fe4f2d has it: of the paper we
    could read the abstract and two figures only. Meta-GF (ECCV 2022) is its predecessor.

        A(p)   tasks whose loss depends on parameter p; p is shared where |A(p)| = n >= 2
        Stage 1, for each task t, from the same theta: one epoch on  L_t + a sum_{s != t} L_s
            gate (epochs < E0), per kernel W[o,i] of a shared convolution, with importance v_t[o,i], first |W[o,i]|:
            p_s = |v_s| / (1 + 1e-4 sum_i' |v_s[o,i']|)^0.75,  gamma_t = (rho p_t + sum_{s != t} p_s) / (rho + n - 1)
            the network runs with gamma_t W / |W|; the optimiser steps W, Adam steps every v_s
            S_t: the parameters at the end, gated;  Delta_t = S_t - theta
        Stage 2, one epoch: Adam steps the fusion scales s_t on sum_t L_t at theta', where for p shared
            alpha_t = |v_t| / sum_i' |v_t[o,i']| * |s_t|,  pi_t = alpha_t / sum_s alpha_s
            theta' = theta + sum_t pi_t Delta_t
            and from epoch E0 on, afterwards,  s <- (1 - ema) s + ema s_before

    A gated 1 x 1 kernel keeps its sign: only its length is learned. Norm affines and linear weights have one s_t per
    number and no v; shared biases move by the mean of Delta_t; a parameter of one task is taken over from S_t.
    BatchNorm's statistics are fused as those of the mixture of the tasks. An epoch costs K + 1 passes over the data.
    `train.<task>.loss` is that of the fused network in stage 2, `train.<task>.stage_loss` that of task t in its own
    stage. Diagnostics are taken once per epoch, of the accumulated gradients -Delta_t on the shared parameters.

    Variants of the papers: {fusion: average} is DR-avgF, of which the authors ran a form with gate_epochs: 0 as well;
    {fusion: sigmoid, gate: false, gate_epochs: 0, auxiliary: 0.1} is Meta-GF. With gate: false alone importance stays
    where it began.

    The balancer's weights are the lambda_t of stage 1. The aggregator must be one that needs a single backward pass
    (`sum`, as published, or `mean`); its constant multiplies the stage loss. Precision float16 and several processes
    are refused.

    Args:
        gate_epochs: E0, number of epochs with the gate; null for half of all.
        auxiliary: a, weight of the other tasks' losses in stage 1, and reach of the line scan.
        auxiliary_factors: one factor per task s, so that L_s is helped along with f_s a, not a (or f_s r* of a line
            scan); Meta-GF's seven exits have 1, 1, 0.6, 0.6, 0.75, 0.9, 1. null: all 1.
        aux_policy: "constant"; or "line_scan" (experimental): the weight of L_s in stage t is max(0, r*), where r*
            minimises L_t(theta + r Delta_s) over 20 points in [-a, a], on the epoch's first batch, with the Delta_s of
            the epoch before; a itself in the first epoch.
        own_weight: rho, weight of the own task in the gate.
        ema: share of the scales before the epoch that is kept.
        meta_lr: Adam's rate for s; it follows the problem's schedule.
        importance_lr: likewise for v; null for the problem's own, as in the code, where Adam steps the network as well:
            a rate that suits SGD is mostly too high for it.
        importance_weight_decay: of v.
        order: in which order the tasks have their stages.
        fusion: "meta" (above); "average": all pi_t equal, stage 2 only refreshes BatchNorm; "sigmoid":
            alpha_t = sigmoid(s_t), s_t = 0 at first.
        gate: whether the gate is used at all.
        compat: which quirks of the official code are kept. On by default: "shared_adam_state" (one optimiser state goes
            through all stages; else one per task) and "unweighted_meta_loss" (stage 2 ignores the balancer). Off:
            "gate_first_call_only" (a convolution called several times in a pass is gated and fused in its first call
            only), "renormalise_private" (kernels of one task fall back to their initial lengths in S_t),
            "keep_buffers_between_tasks" (a stage starts with the BatchNorm statistics that the one before left).

    Departures:
        1. A(p) is found from the losses of the first batch rather than from outputs on a picture of zeros.
        2. E0 is half of the epochs (official: 100 of 200) and the schedules of v and s are the problem's.
        3. The code normalises every convolution in S_t, shows each shared convolution's gate to one task only, and
           keeps BatchNorm's statistics between stages; by the paper's own words these are slips. See `compat`.
        4. Importance of BatchNorm weights and of linear layers is constant in the code and cancels: it is not kept.
        5. The multi-exit experiments were not released. There, a task t outside A(p) can still train p through its
           auxiliary losses: p is then gated by the plain mean of p_s, and t has no Delta on p. The weights tau of exits
           in Meta-GF's code are a balancer here (`growing_weights`).
        6. Meta-GF's image code has a scale per tensor or per output channel; here it is per kernel, as in its
           multi-task code.
        7. The direction of the authors' line scan is not public; ours is the simplest one that fits their logs.
    """

    def epoch(self, run: Run, batches: Iterator[Any]) -> Iterator[Metrics]:
        """One stage per task, then the fusion; `batches` serves the first stage, fresh ones serve the others."""
        check_run(self, run)
        first = next(batches, None)
        if first is None:
            raise ValueError("`batches` must hold at least one batch, found none.")
        batches = itertools.chain([first], batches)
        if not run.rule_state:
            run.rule_state.update(begin(self, run, first))
        work = Epoch(self, run)
        if self.aux_policy == "line_scan":
            work.scan(first)
        tasks = range(work.K)
        for t in tasks if self.order == "forward" else reversed(tasks):
            yield from work.disentangle(t, batches)
            batches = run.problem.batches(run.generators.order, run.generators.augmentation)
        yield from work.fuse(batches)
        work.finish()
