"""The code in the documents runs."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import torch

from nasrec.nn import Inputs, SharedWeights, cost
from nasrec.nn.operators import OPERATORS
from nasrec.space import NASREC_FULL

ROOT = Path(__file__).parents[1]


def test_the_operator_of_contributing_works_without_more():
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "CONTRIBUTING.md").read_text(), re.S)
    try:
        exec(compile(code, "CONTRIBUTING.md", "exec"), {"__name__": "contributing"})
        inputs = Inputs(3, (4, 5))
        space = NASREC_FULL.with_(name="mine", blocks=3, dense_ops=("Maxout",))
        architecture = space.sample(np.random.default_rng(0))
        shared = SharedWeights(space, inputs)
        rows = torch.randn(2, 3), torch.zeros(2, 2, dtype=torch.int64)
        alone = shared.extract(architecture)(*rows)
        torch.testing.assert_close(shared.subnet(architecture)(*rows), alone)
        assert cost(architecture, inputs).madds > 0
    finally:
        OPERATORS.pop("Maxout", None)


def test_links_between_documents_lead_somewhere():
    for page in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]:
        for link in re.findall(r"\]\(([^)#]+)", page.read_text(encoding="utf-8")):
            if not link.startswith("http"):
                assert (page.parent / link).exists(), f"{page.name}: {link}"
