"""Best-of-N curves, step metrics, ProcessBench, statistics, report."""
