"""All stations in one call. Names load torch on demand."""

from rung.loop.quickstart import Quickstart, QuickstartResult, run_quickstart

__all__ = ["Quickstart", "QuickstartResult", "run_quickstart"]
