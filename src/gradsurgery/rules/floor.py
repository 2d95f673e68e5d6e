"""The floor of a table: a classical model per task, fitted where the others train a network."""

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from gradsurgery.core.capabilities import Columns
from gradsurgery.core.extras import need
from gradsurgery.core.interfaces import Metrics, Network
from gradsurgery.core.run import Run, TrainingRule
from gradsurgery.core.seeding import Generators


@dataclass(frozen=True)
class Floor(TrainingRule):
    """Fits one scikit-learn model to each task, on the batches of the first epoch; later epochs change nothing.

    Source: none; a network that shares anything between tasks has to beat models that share nothing. The rule takes the
    place of training, so that the floor is a line of the same table: same rows, same splits, same metrics. The network
    only says which inputs are numbers and which are categories, and is then dropped; balancer and aggregator are not
    asked.

    Args:
        model: "logistic": regression on the numbers and on one indicator per value of each category; "trees":
            histogram gradient boosting, which takes categories as they are.
        iterations: largest number of steps of the solver, or number of trees.
        rate: learning rate of the trees.
        C: inverse strength of the regression's L2 penalty.

    Departures:
        1. The rows of an epoch's last, smaller batch are left out, as for every network.
    """

    cpu_only = True

    model: Literal["logistic", "trees"] = "logistic"
    iterations: int = 400
    rate: float = 0.05
    C: float = 1.0

    def __post_init__(self) -> None:
        if self.model not in ("logistic", "trees"):
            raise ValueError(f"`model` must be 'logistic' or 'trees', found model = {self.model!r}.")
        for name, value in (("iterations", self.iterations), ("rate", self.rate), ("C", self.C)):
            if not 0 < value < math.inf:
                raise ValueError(f"`{name}` must be positive, found {name} = {value}.")

    def attach(self, network: Network) -> Network:
        """An empty place for the models, told by `network` which inputs are numbers."""
        if not isinstance(network, Columns):
            raise ValueError(
                f"rule `floor` must be given a network that reads rows of a table, such as `recommender`, found "
                f"{type(network).__name__}."
            )
        need("repro", "scipy", "sklearn")
        return _Fitted(network.num_continuous, network.cardinalities)

    def epoch(self, run: Run, batches: Iterator[Any]) -> Iterator[Metrics]:
        """Fits all models, the first time it is called; yields their mean training losses.

        A checkpoint holds no models, as reading them would run code from a file: they are fitted once more, to the same
        rows in the same order.
        """
        state = run.rule_state
        if not state:
            state["generators"] = run.generators.state_dict()  # nothing of the epoch is drawn yet
            state["losses"] = self._fit(run, batches, run.generators.method)
        elif not cast(_Fitted, run.network).models:
            then = Generators(0)
            then.load_state_dict(state["generators"])
            self._fit(run, run.problem.batches(then.order, then.augmentation), then.method)
        yield dict(state["losses"])

    def _fit(self, run: Run, batches: Iterator[Any], generator: np.random.Generator) -> Metrics:
        """Puts a fitted model for each task into the network; their mean training losses."""
        from sklearn.metrics import log_loss  # here, as below: an extra, which `attach` asks for

        network, losses, started = cast(_Fitted, run.network), {}, time.perf_counter()
        inputs, labels = (torch.cat(parts).numpy() for parts in zip(*batches, strict=True))
        X = network.features(inputs, self.model)
        for k, task in enumerate(run.problem.tasks):
            model = self._model(network, int(generator.integers(2**31))).fit(X, labels[:, k])
            network.models.append(model)
            losses[f"train.{task}.loss"] = float(log_loss(labels[:, k], model.predict_proba(X)[:, 1]))
        network.kind = self.model
        run.count(time.perf_counter() - started, steps=0, passes=0)
        return losses

    def _model(self, network: "_Fitted", seed: int) -> Any:
        from sklearn.ensemble import HistGradientBoostingClassifier
        from sklearn.linear_model import LogisticRegression

        if self.model == "logistic":
            return LogisticRegression(C=self.C, max_iter=self.iterations)
        is_category = [False] * network.num_continuous + [True] * len(network.cardinalities)
        return HistGradientBoostingClassifier(
            max_iter=self.iterations, learning_rate=self.rate, early_stopping=False, categorical_features=is_category,
            random_state=seed,
        )  # fmt: skip


class _Fitted(Network):
    """The models as a network, so that a problem can evaluate them."""

    def __init__(self, num_continuous: int, cardinalities: Sequence[int]):
        super().__init__()
        self.num_continuous, self.cardinalities = num_continuous, cardinalities
        self.kind, self.models = "", list[Any]()
        self.placeholder = nn.Parameter(torch.zeros(1))  # an optimiser must have something to hold

    def forward(self, inputs: Float[Tensor, "batch features"]) -> tuple[Tensor, ...]:
        if not self.models:
            raise RuntimeError("rule `floor` must have run an epoch, found no fitted models.")
        X = self.features(inputs.cpu().numpy(), self.kind)
        return tuple(torch.from_numpy(model.decision_function(X)) for model in self.models)

    def shared_parameters(self) -> list[nn.Parameter]:
        return [self.placeholder]

    def features(self, inputs: Float[np.ndarray, "batch features"], kind: str) -> Any:
        """What a model of this kind reads."""
        from scipy import sparse

        if kind == "trees":
            return inputs
        numbers, categories = inputs[:, : self.num_continuous], inputs[:, self.num_continuous :]
        starts = np.cumsum([0, *self.cardinalities])
        columns = (categories.astype(np.int64) + starts[:-1]).ravel()
        rows = np.repeat(np.arange(len(inputs)), categories.shape[1])
        ones = np.ones(len(columns), np.float32)
        indicators = sparse.csr_array((ones, (rows, columns)), shape=(len(inputs), int(starts[-1])))
        return sparse.hstack([sparse.csr_array(numbers), indicators], format="csr")
