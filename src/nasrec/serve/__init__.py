"""What the user takes home: a model folder that scores raw rows."""

from nasrec.serve.calibration import Calibration
from nasrec.serve.folder import calibrate, load_model, save_model
from nasrec.serve.interval import report
from nasrec.serve.model import Model
from nasrec.serve.predict import Prediction, predict
from nasrec.serve.spec import ModelSpec

__all__ = [
    "Calibration",
    "Model",
    "ModelSpec",
    "Prediction",
    "calibrate",
    "load_model",
    "predict",
    "report",
    "save_model",
]
