"""A lab in small for tests of `rung rl`."""

from pathlib import Path


def make_rl_lab(folder: Path, *, width: int, lr: float) -> Path:
    """Problems of one step, and a policy that has seen some chains, put into `folder`."""
    from rung.core import ChainRecord, write_records
    from rung.core.codec import encode_problem
    from rung.data.lab import Lab, demonstrations, make_demonstrator, make_problems
    from rung.model.tiny import make_tiny
    from rung.train import Optimization, PolicyTraining, train_policy

    lab = Lab(num_steps=1, misconceived_share=0.0)
    problems = list(make_problems(lab, 500, seed=0))
    chains = demonstrations(make_demonstrator(lab, seed=0), problems[:400], seed=0)
    records = [ChainRecord(chain) for chain in chains]
    texts = [text for r in records for text in (r.chain.problem.question, *r.chain.texts)]
    make_tiny(folder / "tiny", texts, seed=0, width=width, num_layers=1, max_tokens=64)
    learning = Optimization(lr=lr, beta2=0.98, batch_tokens=1024, epochs=2, patience=0)
    training = PolicyTraining(trunk=folder / "tiny", optimization=learning)
    train_policy(training, records, [], folder / "policy")
    (folder / "problems.jsonl").write_bytes(b"".join(map(encode_problem, problems[400:])))
    write_records(folder / "chains.jsonl", records)
    return folder
