"""The examples in the docstrings of the public names run."""

from __future__ import annotations

import doctest
import inspect

import pytest

import nasrec
from nasrec.pipeline import Reporter
from nasrec.serve import Model
from tests.serve.models import LOG

OBJECTS = {
    "nasrec": nasrec,
    "prepare": nasrec.prepare,
    "search": nasrec.search,
    "train": nasrec.train,
    "load": nasrec.load,
    "predict": nasrec.predict,
    "Model": Model,
    "NASRecClassifier": nasrec.NASRecClassifier,
}


@pytest.fixture
def _files(tmp_path, monkeypatch):
    """The files that the examples read."""
    monkeypatch.chdir(tmp_path)
    log = LOG.generate(400).rename({"label": "click"})
    log.write_csv("log.csv")
    LOG.generate(50, stream=1).drop("label").with_row_index("id").write_csv("new-rows.csv")
    data = nasrec.prepare("log.csv", "prepared", label="click")
    nasrec.train(data, "logreg", "model", reporter=Reporter(quiet=True))


SEARCHES = ("search", "NASRecClassifier")


@pytest.mark.usefixtures("_files")
@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[pytest.mark.slow] * (n in SEARCHES)) for n in OBJECTS]
)
def test_the_example_runs(name, capsys):
    found = doctest.DocTestParser().get_doctest(
        inspect.getdoc(OBJECTS[name]) or "", {"nasrec": nasrec}, name, None, None
    )
    assert found.examples, "there is no example"
    assert not any(doctest.SKIP in example.options for example in found.examples)
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    outcome = runner.run(found)
    assert outcome.failed == 0, capsys.readouterr().out


def test_public_functions_are_typed():
    for name in ("prepare", "search", "train", "load", "predict"):
        function = getattr(nasrec, name)
        signature = inspect.signature(function)
        assert signature.return_annotation is not inspect.Signature.empty, name
        for parameter in signature.parameters.values():
            assert parameter.annotation is not inspect.Parameter.empty, (name, parameter)
