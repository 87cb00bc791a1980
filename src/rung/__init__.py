"""rung judges reasoning step by step: label, train, score, rerank."""

from rung.core import *  # noqa: F403
from rung.core import __all__ as __all__
