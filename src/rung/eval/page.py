"""The frame of every HTML page: one file that loads nothing, light or dark, wide or narrow."""

from __future__ import annotations

from typing import Any

from rung.core import MissingExtraError
from rung.eval.charts import CHART_STYLE, COLORS
from rung.eval.svg import Markup


def render_page(template: str, **values: Any) -> str:
    """The HTML of one of the templates, with `title` and what else it names.

    Whatever is not `Markup` is escaped.

    Raises:
        MissingExtraError: jinja2 is not installed.
    """
    try:
        from jinja2 import Environment, PackageLoader, StrictUndefined
    except ImportError:
        raise MissingExtraError("jinja2", "train") from None
    environment = Environment(
        loader=PackageLoader("rung.eval", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    style = Markup(COLORS + CHART_STYLE)
    return environment.get_template(template).render(style=style, **values)
