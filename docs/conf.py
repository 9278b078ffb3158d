"""How the site is built: `make docs` leaves it in docs/_build."""

from __future__ import annotations

import sys
from pathlib import Path

import nasrec.nn  # noqa: F401  the operators declare themselves

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "nasrec"
author = "the nasrec authors"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "commands"]
exclude_patterns = ["_build"]

html_theme = "furo"
html_title = "nasrec"
html_show_copyright = False
html_show_sphinx = False
html_copy_source = False

myst_enable_extensions = ["deflist"]
myst_heading_anchors = 3
smartquotes_action = "D"  # dashes only

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
python_maximum_signature_line_length = 80
napoleon_numpy_docstring = False
napoleon_use_ivar = True
# Docstrings are read in editors more than here: one backtick is code in them.
default_role = "code"

nitpicky = True
# Types of other libraries, since the site links to no other site, and what of ours is no part of
# the API.
nitpick_ignore_regex = [
    ("py:.*", r"(?!nasrec\.).*"),
    ("py:.*", r"nasrec\.data\.(batches|encode|formats|split|synthetic)\..*"),
    (
        "py:.*",
        r"nasrec\.(nn\.(embedding|operators|parameters)|serve\.(calibration|drift|model|spec))\..*",
    ),
    ("py:.*", r"nasrec\.space\.architecture\.(Block|LiveBlock)|nasrec\.train\.config\.Settings"),
    ("py:.*", r"nasrec\..*\.(_\w+|Annotated)"),  # the validators of settings
]
