"""What a model computes: operators, networks, shared weights, costs, hand-made models."""

from nasrec.nn.baselines import BASELINES, build_baseline
from nasrec.nn.cost import (
    Cost,
    cost,
    count_dense_weights,
    count_weights,
    live_madds,
    standalone_costs,
)
from nasrec.nn.inputs import Inputs, ModelOptions
from nasrec.nn.members import Blend, Members
from nasrec.nn.network import NASRecNet
from nasrec.nn.operators import Operator, register
from nasrec.nn.shared import SharedWeights
from nasrec.nn.together import Together

__all__ = [
    "BASELINES",
    "Blend",
    "Cost",
    "Inputs",
    "Members",
    "ModelOptions",
    "NASRecNet",
    "Operator",
    "SharedWeights",
    "Together",
    "build_baseline",
    "cost",
    "count_dense_weights",
    "count_weights",
    "live_madds",
    "register",
    "standalone_costs",
]
