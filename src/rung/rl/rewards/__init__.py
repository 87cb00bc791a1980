"""What each step earns: one file a way. All give (B, S), but `implicit`, which gives (B, T).

| name | paper | what a step earns |
|---|---|---|
| `outcome_only` | | nothing; the last one the outcome |
| `score_sum` | 2211.14275 | its score |
| `difference` | Ng et al. 1999 | the rise of the score, taken back at the end |
| `min_form` | 2504.15275 | its score, if it is (nearly) the chain's least |
| `process_advantage` | 2410.08146 | the rise of a prover's chances |
| `implicit` | 2502.01456 | each token its log-ratio under an implicit PRM |
| `mixed` | | the outcome's and the process's rewards, weighed |
"""

from rung.rl.rewards.difference import difference
from rung.rl.rewards.implicit import implicit
from rung.rl.rewards.min_form import min_form
from rung.rl.rewards.mixed import mixed
from rung.rl.rewards.outcome_only import outcome_only
from rung.rl.rewards.process_advantage import process_advantage
from rung.rl.rewards.score_sum import score_sum

__all__ = [
    "difference",
    "implicit",
    "min_form",
    "mixed",
    "outcome_only",
    "process_advantage",
    "score_sum",
]
