"""Measure: best-of-n curves, step metrics, ProcessBench, with intervals; and the report."""

from rung.eval.curves import BestOfN, CurvePoint, GapPoint, best_of_n

__all__ = ["BestOfN", "CurvePoint", "GapPoint", "best_of_n"]
