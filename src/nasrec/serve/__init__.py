"""What the user takes home: a model folder that scores raw rows."""

from nasrec.serve.artifact import Model, ModelSpec, load_model, save_model

__all__ = ["Model", "ModelSpec", "load_model", "save_model"]
