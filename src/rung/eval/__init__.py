"""Measure: best-of-n curves, step metrics, benchmarks, with intervals; and the report."""

from rung.eval.applicable import measures_of
from rung.eval.calibration import Calibration, CalibrationBin
from rung.eval.compare import Comparison, MeasureResult, PairTest, compare
from rung.eval.compare_page import Beside, published_beside
from rung.eval.curves import BestOfN, CurvePoint, best_of_n, best_of_n_over_seeds
from rung.eval.curves_picture import curves_svg, write_curves_svg
from rung.eval.examples import choose_examples
from rung.eval.gaps import GapPoint
from rung.eval.localization import Localization, LocalizationAt
from rung.eval.loss_chart import Losses, losses_of
from rung.eval.measures import Measure
from rung.eval.positions import Bucket
from rung.eval.prmbench import PrmBench, PrmBenchRow, prmbench
from rung.eval.probes import ProbeResult, probe_scorers
from rung.eval.processbench import (
    FirstErrors,
    best_threshold,
    first_errors,
    predicted_first_error,
    processbench,
)
from rung.eval.published import (
    PublishedBenchmark,
    PublishedRow,
    Source,
    published_results,
)
from rung.eval.ranking import auroc
from rung.eval.recalibration import Recalibration, recalibrate
from rung.eval.reliability import write_reliability_svg
from rung.eval.report import ReportData, Stage, write_report
from rung.eval.reward_chart import Rewards, rewards_of, write_rewards_svg
from rung.eval.robustness import VariantChange, robustness
from rung.eval.run_report import RunReport, measure_run, write_run_report
from rung.eval.statistics import Estimate, PairedDifference
from rung.eval.steps import BucketCalibration, PositionMetrics, StepMetrics, step_metrics
from rung.eval.variants import probe_records, variant_records

__all__ = [
    "Beside",
    "BestOfN",
    "Bucket",
    "BucketCalibration",
    "Calibration",
    "CalibrationBin",
    "Comparison",
    "CurvePoint",
    "Estimate",
    "FirstErrors",
    "GapPoint",
    "Localization",
    "LocalizationAt",
    "Losses",
    "Measure",
    "MeasureResult",
    "PairTest",
    "PairedDifference",
    "PositionMetrics",
    "PrmBench",
    "PrmBenchRow",
    "ProbeResult",
    "PublishedBenchmark",
    "PublishedRow",
    "Recalibration",
    "ReportData",
    "Rewards",
    "RunReport",
    "Source",
    "Stage",
    "StepMetrics",
    "VariantChange",
    "auroc",
    "best_of_n",
    "best_of_n_over_seeds",
    "best_threshold",
    "choose_examples",
    "compare",
    "curves_svg",
    "first_errors",
    "losses_of",
    "measure_run",
    "measures_of",
    "predicted_first_error",
    "prmbench",
    "probe_records",
    "probe_scorers",
    "processbench",
    "published_beside",
    "published_results",
    "recalibrate",
    "rewards_of",
    "robustness",
    "step_metrics",
    "variant_records",
    "write_curves_svg",
    "write_reliability_svg",
    "write_report",
    "write_rewards_svg",
    "write_run_report",
]
