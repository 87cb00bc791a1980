"""What it takes to label a million chains: pure arithmetic on named numbers. See README.md."""

from __future__ import annotations

from dataclasses import dataclass

HOUR_S = 3600.0
MILLION = 1_000_000
HEAD = ["work", "tokens read", "written", "GPU hours", "CPU hours", "dollars", "hours", "share"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What `run.py --measure` found, in CPU seconds and tokens; measured.json holds it."""

    date: str
    machine: str
    num_chains: int
    """Chains that were measured, from ProcessBench (GSM8K and MATH)."""
    steps_a_chain: float
    problem_tokens: float
    chain_tokens: float
    """Without the problem; both by SmolLM2's tokenizer, which splits numbers into digits."""
    judge_tokens_in: float
    """The prompt of `--form first-error`."""
    bytes_a_chain: float
    """A row of JSON."""
    packed_bytes_a_chain: float
    """What of it travels to a worker."""
    pack_cpu_s: float
    """A chain: encode, compress, and back."""
    arithmetic_cpu_s: float
    """A chain: every step's equations."""
    answer_cpu_s: float
    """A chain: the final answer, by math-verify where the text does not tell."""
    lab_steps_a_chain: float
    lab_chain_tokens: float
    lab_tokens_a_cpu_s: float
    """What the lab's policy of a few hundred thousand weights writes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollouts:
    """What a way of rolling out asked for in the lab (recipes/rollout-labels/results.json)."""

    name: str
    rollouts_a_chain: float
    tokens_a_chain: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Assumed:
    """What was not measured here: published, or set by hand. docs/guides/scale.md has the sources.

    Model: 8 billion weights in bf16, on an H100.
    """

    chains: int = MILLION
    gpu_writes_tokens_a_s: float = 8_000.0
    """One GPU, many requests at once, the reading of short prompts included."""
    gpu_reads_flop_a_s: float = 989e12
    """bf16, dense, by the data sheet."""
    gpu_reading_share: float = 0.4
    """Of those, that reading long batches reaches."""
    weights: float = 8.0e9
    code_cpu_s: float = 0.106
    """A program with its tests in two sandboxes, on one core (recipes/verify-code)."""
    judge_tokens_out: float = 600.0
    """Of an answer that thinks aloud over every step."""
    gpu_price: float = 2.5
    """An H100 for an hour, in dollars."""
    cpu_price: float = 0.04
    """A processor for an hour, in dollars."""
    api_prices: tuple[float, float] = (0.15, 0.6)
    """A million tokens in and out of a small model behind an API, in dollars."""
    gpus: int = 8
    cpus: int = 64

    @property
    def gpu_reads_tokens_a_s(self) -> float:
        """A forward pass costs two operations a weight and token."""
        return self.gpu_reads_flop_a_s * self.gpu_reading_share / (2 * self.weights)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One piece of work on all chains."""

    name: str
    tokens_in: float = 0.0
    """Read by a model."""
    tokens_out: float = 0.0
    """Written by a model."""
    gpu_h: float = 0.0
    cpu_h: float = 0.0
    is_planned: bool = True
    """Part of the plan; else another way to do a part of it."""

    def money(self, assumed: Assumed) -> float:
        """In dollars."""
        return self.gpu_h * assumed.gpu_price + self.cpu_h * assumed.cpu_price

    def hours(self, assumed: Assumed) -> float:
        """On the machines of the plan, all of them busy."""
        return max(self.gpu_h / assumed.gpus, self.cpu_h / assumed.cpus)


def stages(measured: Measured, rollouts: list[Rollouts], assumed: Assumed) -> list[Stage]:
    """Every piece of work on all chains. Of the rollouts the first way is planned."""
    n, m = assumed.chains, measured
    whole = m.problem_tokens + m.chain_tokens
    read_h = n * whole / assumed.gpu_reads_tokens_a_s / HOUR_S
    asked, said = n * m.judge_tokens_in, n * assumed.judge_tokens_out
    code_h = n * assumed.code_cpu_s / HOUR_S
    return [
        _written("sample the chains", n * m.problem_tokens, n * m.chain_tokens, assumed),
        Stage(name="check answers", cpu_h=n * m.answer_cpu_s / HOUR_S),
        Stage(name="check arithmetic", cpu_h=n * m.arithmetic_cpu_s / HOUR_S),
        *(_rolled_out(way, way is rollouts[0], measured, assumed) for way in rollouts),
        _written("judge, first error, one vote", asked, said, assumed),
        Stage(name="score with a PRM", tokens_in=n * whole, gpu_h=read_h),
        Stage(name="pack, send, unpack", cpu_h=n * m.pack_cpu_s / HOUR_S),
        Stage(name="unit tests, were they programs", cpu_h=code_h, is_planned=False),
    ]


def _rolled_out(way: Rollouts, is_planned: bool, m: Measured, assumed: Assumed) -> Stage:
    """Rollouts of the lab, on longer chains: their number and their length go with the steps."""
    scale = m.steps_a_chain / m.lab_steps_a_chain
    length = (m.chain_tokens / m.steps_a_chain) / (m.lab_chain_tokens / m.lab_steps_a_chain)
    count = assumed.chains * way.rollouts_a_chain * scale
    written = assumed.chains * way.tokens_a_chain * scale**2 * length
    read = (
        count * (m.problem_tokens + m.chain_tokens) - written
    )  # the rest of a chain is its prefix
    return _written(way.name, read, written, assumed, is_planned)


def _written(
    name: str, tokens_in: float, tokens_out: float, assumed: Assumed, is_planned: bool = True
) -> Stage:
    return Stage(
        name=name,
        tokens_in=tokens_in,
        tokens_out=tokens_out,
        gpu_h=tokens_out / assumed.gpu_writes_tokens_a_s / HOUR_S,
        is_planned=is_planned,
    )


def table(measured: Measured, rollouts: list[Rollouts], assumed: Assumed) -> str:
    """The plan as Markdown."""
    rows = stages(measured, rollouts, assumed)
    planned = [stage for stage in rows if stage.is_planned]
    total_h = sum(stage.hours(assumed) for stage in planned)
    head = [
        "work",
        "tokens read",
        "written",
        "GPU hours",
        "CPU hours",
        "dollars",
        "hours",
        "of them",
    ]
    lines = [_row(head), _row(["---"] * len(head))]
    lines += [_row(_cells(stage, assumed, total_h)) for stage in planned]
    whole = Stage(
        name="**the plan**",
        tokens_in=sum(stage.tokens_in for stage in planned),
        tokens_out=sum(stage.tokens_out for stage in planned),
        gpu_h=sum(stage.gpu_h for stage in planned),
        cpu_h=sum(stage.cpu_h for stage in planned),
    )
    cells = _cells(whole, assumed, total_h)
    lines.append(_row([*cells[:-2], _number(total_h), "100 %"]))
    lines += [_row(_cells(s, assumed, None)) for s in rows if not s.is_planned]
    return "\n".join([*lines, "", _notes(rows, measured, assumed)])


def _notes(rows: list[Stage], measured: Measured, assumed: Assumed) -> str:
    judged = next(stage for stage in rows if stage.name.startswith("judge"))
    price_in, price_out = assumed.api_prices
    api = (judged.tokens_in * price_in + judged.tokens_out * price_out) / MILLION
    size, packed = measured.bytes_a_chain, measured.packed_bytes_a_chain
    return " ".join(
        [
            f"{assumed.chains:,} chains; hours on {assumed.gpus} GPUs and {assumed.cpus} cores.",
            f"${assumed.gpu_price:g} a GPU hour, ${assumed.cpu_price:g} a core hour;",
            f"the judge's tokens from an API at ${price_in:g} and ${price_out:g} a million:",
            f"${api:,.0f}.",
            f"All rows: {assumed.chains * size / 1e9:.1f} GB,",
            f"{assumed.chains * packed / 1e9:.1f} GB as they travel.",
        ]
    )


def _cells(stage: Stage, assumed: Assumed, total_h: float | None) -> list[str]:
    hours = stage.hours(assumed)
    return [
        stage.name,
        _millions(stage.tokens_in),
        _millions(stage.tokens_out),
        _number(stage.gpu_h),
        _number(stage.cpu_h),
        _number(stage.money(assumed)),
        _number(hours),
        "" if total_h is None else f"{100 * hours / total_h:.1f} %",
    ]


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def measured_table(measured: Measured) -> str:
    """What was measured, as Markdown."""
    m = measured
    rows = [
        ("a chain's steps", f"{m.steps_a_chain:.1f}"),
        ("a problem's tokens, its chain's tokens", f"{m.problem_tokens:.0f}, {m.chain_tokens:.0f}"),
        ("tokens of a judge's prompt (`--form first-error`)", f"{m.judge_tokens_in:.0f}"),
        (
            "bytes of a row, and as it travels",
            f"{m.bytes_a_chain:,.0f}, {m.packed_bytes_a_chain:,.0f}",
        ),
        ("chains a CPU second: packed, sent, unpacked", f"{1 / m.pack_cpu_s:,.0f}"),
        ("chains a CPU second: arithmetic of all steps", f"{1 / m.arithmetic_cpu_s:,.0f}"),
        ("chains a CPU second: final answers", f"{1 / m.answer_cpu_s:,.0f}"),
        ("tokens a CPU second: the lab's policy, rolling out", f"{m.lab_tokens_a_cpu_s:,.0f}"),
        ("a lab chain's steps, tokens", f"{m.lab_steps_a_chain:.1f}, {m.lab_chain_tokens:.0f}"),
    ]
    body = "\n".join(f"| {what} | {value} |" for what, value in rows)
    told = f"{m.num_chains:,} chains of ProcessBench; {m.machine}; {m.date}."
    return f"| measured | |\n| --- | --- |\n{body}\n\n{told}"


def _millions(tokens: float) -> str:
    return f"{tokens / MILLION:,.0f} M" if tokens else ""


def _number(value: float) -> str:
    if not value:
        return ""
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"
