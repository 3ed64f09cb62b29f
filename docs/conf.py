"""Sphinx: how the documentation site is built. `make docs` builds it; warnings are errors there."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import dp2  # noqa: E402

project = "dp2"
author = "the dp2 authors"
copyright = "2026, the dp2 authors"  # noqa: A001  (Sphinx's name)
version = release = dp2.__version__

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx_click",
    "sphinx_copybutton",
]
exclude_patterns = ["_build", "jupyter_execute"]
html_theme = "furo"
html_title = f"dp2 {release}"
html_static_path = ["_static"]
templates_path: list[str] = []

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
nb_execution_mode = "off"  # the notebook is committed with its outputs; a test runs it
suppress_warnings = ["mystnb.unknown_mime_type"]

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_default_options = {"members": True, "show-inheritance": False}
autodoc_preserve_defaults = True
napoleon_google_docstring = True
napoleon_use_rtype = False
napoleon_use_ivar = True
default_role = "code"  # single backticks in docstrings name code
copybutton_prompt_text = "$ "
