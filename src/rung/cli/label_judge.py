"""`rung label judge`: label the steps of chains by asking a language model."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Container, Iterable, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import tyro

from rung.cli.first_in_line import UNTOLD, check_first, first_in_line
from rung.cli.inputs import Chains, read_twice, records_of, tell_skipped
from rung.cli.label_view import word_for
from rung.cli.output import JsonFlag, Output
from rung.cli.places import TrustPickle
from rung.cli.scaling import HERE, ScalingOptions
from rung.core import ChainRecord, RungError, Skipped, read_records
from rung.core.codec import encode_record
from rung.core.http import ATTEMPTS, TIMEOUT_S, Patience
from rung.core.resume import fingerprint_of, resumable_rows
from rung.core.urls import name_of
from rung.data import Neutral
from rung.label.chat import BATCH, ChatModel, ChatServer, LocalChat
from rung.label.judge import JudgeLabeler, Spent
from rung.label.judge_forms import Form, FormName, make_form
from rung.label.next import First
from rung.label.reply_log import ReplyLog
from rung.label.rubric import read_rubric

if TYPE_CHECKING:
    from rich.console import Console

WINDOW = 64
"""Chains judged together. Replies outlive a kill one by one, in their log."""
CLUSTER_WINDOW = 256 * WINDOW
"""The same with --ray: the workers are started, and open their model, for every window."""


@dataclass(frozen=True, slots=True)
class Judge:
    """Ask a language model which steps are right.

    Every reply is kept in a log, so that a run that was stopped, or is done again, pays for none
    twice.
    """

    chains: Chains
    """Files or URLs of chains, taken together; "-" is standard input, OWNER/NAME a dataset."""
    out: Annotated[Path, tyro.conf.arg(metavar="FILE")]
    """The rung file to write (.jsonl, .jsonl.gz, .jsonl.zst or .parquet)."""
    model: Annotated[str, tyro.conf.arg(metavar="NAME")]
    """The model's name on the server; without --url a folder, GGUF file or name of a local one."""
    url: str | None = None
    """The base address of an OpenAI-compatible server, as http://localhost:8000/v1."""
    key_env: str = "OPENAI_API_KEY"
    """The environment variable that holds the server's key; without the variable none is sent."""
    trust_pickle: TrustPickle = False
    form: FormName = "first-error"
    """first-error: one question a chain, for the first wrong step.
    chain: one question a chain, for a verdict on every step.
    step: one question a step."""
    prompt: Path | None = None
    """Your own prompt, with {question} and {paragraphs} where they are to stand."""
    rubric: Path | None = None
    """A rubric (TOML): a verdict for each criterion and step, instead of --form."""
    only: Annotated[int | None, tyro.conf.arg(metavar="N")] = None
    """Judge only the N chains first in line, no two of them alike, and write the others as they
    are. It needs chains with scores."""
    first: First | None = None
    """Chains that come first with --only. doubt, the default: of whose steps the PRM is not sure.
    convincing: wrong answers that it rates highly. Those on which scorers disagree, either way."""
    votes: int = 1
    """Answers to each question; the majority decides, and a tie gives no label."""
    soft: bool = False
    """Give the share of the votes as a soft label."""
    temperature: float | None = None
    """By default 0 for one vote, 1 for several."""
    max_tokens: int = 4096
    """Of an answer."""
    repairs: int = 2
    """How often an answer that can't be read is asked for again, with the reason."""
    extra_body: str = "{}"
    """Further fields of the request as JSON; null takes a field out."""
    at_once: int = 8
    """Requests under way together."""
    attempts: int = ATTEMPTS
    """How often a server that is busy, fails or is silent is asked."""
    timeout_s: float = TIMEOUT_S
    """Seconds for one answer."""
    price: tuple[float, float] = (0.0, 0.0)
    """Of a million tokens in and a million tokens out, in your currency."""
    replies: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """The log of replies, which any runs may share; by default beside --out."""
    name: str | None = None
    """The labels' source; by default "judge:" and the model's name."""
    format: str | None = None
    """The chains' format; without it the first row tells."""
    neutral: Neutral = "good"
    """What a person's rating of 0 means as a label."""
    skip_bad: bool = False
    """Leave out rows that can't be read, and count them."""
    scaling: ScalingOptions = HERE
    json: JsonFlag = False

    def run(self, out: Output) -> None:
        """Judge."""
        self._check()
        rubric = None if self.rubric is None else read_rubric(self.rubric)
        form, model = make_form(self.form, self.prompt, rubric), self._open_scaled()
        source = self.name or f"judge:{Path(self.model).name if self.url is None else self.model}"
        log_path = self.replies or self.out.with_name(f"{self.out.name}.replies.jsonl")
        with read_twice(self.chains) as sources:
            skipped = Skipped()
            num_rows, chosen = self._choose(sources, skipped)
            if not num_rows:
                raise RungError(f"no chain can be read: {skipped.count} rows are left out")
            tell_skipped(out.progress, skipped)
            with ReplyLog.open(log_path) as log:
                judge = JudgeLabeler(model, form, source, self.votes, self.soft, self.repairs, log)
                self._judge(out, sources, judge, num_rows, chosen)
        result = self._result(judge, num_rows, skipped.count)
        out.result(result, lambda console: _show(console, result, judge.spent))

    def _check(self) -> None:
        for name in ("votes", "max_tokens", "at_once", "only"):
            number = getattr(self, name)
            if number is not None and number < 1:
                option = "--" + name.replace("_", "-")
                raise RungError(f"{option} is {number}, expected at least 1")
        check_first(self.only, self.first)
        if self.repairs < 0:
            raise RungError(f"--repairs is {self.repairs}, expected at least 0")
        if self.votes > 1 and self.temperature == 0:
            raise RungError(f"--temperature 0 gives {self.votes} votes that are alike")
        if self.rubric is not None and self.form != "first-error":
            raise RungError("--rubric has a form of its own; leave out --form")

    def _open_scaled(self) -> ChatModel:
        cluster, model = self.scaling.cluster(), self.open()
        if cluster is None:
            return model
        from rung.label.scale_work import ChatCluster

        return ChatCluster(model, self.open, cluster, max(self.at_once, BATCH))

    def open(self) -> ChatModel:
        """The model that is asked."""
        temperature = self.temperature
        if temperature is None:
            temperature = 0.0 if self.votes == 1 else 1.0
        if self.url is None:
            return _local(self.model, temperature, self.max_tokens, self.trust_pickle)
        return ChatServer(
            url=self.url,
            name=self.model,
            key=os.environ.get(self.key_env),
            temperature=temperature,
            max_tokens=self.max_tokens,
            extra=_object(self.extra_body),
            at_once=self.at_once,
            patience=Patience(attempts=self.attempts, timeout_s=self.timeout_s),
        )

    def _records(self, sources: Sequence[str], skipped: Skipped) -> Iterable[ChainRecord]:
        counted = skipped if self.skip_bad else None
        return records_of(sources, self.format, self.neutral, counted)

    def _choose(self, sources: Sequence[str], skipped: Skipped) -> tuple[int, Container[int]]:
        """How many chains there are, and the places of those that are judged."""
        records = self._records(sources, skipped)
        if self.only is None:
            num_rows = sum(1 for _ in records)
            return num_rows, range(num_rows)
        held = list(records)
        return len(held), first_in_line(held, self.only, self.first)

    def _judge(
        self,
        out: Output,
        sources: Sequence[str],
        judge: JudgeLabeler,
        num_rows: int,
        chosen: Container[int],
    ) -> None:
        settings = [self.format, self.neutral, self.skip_bad, judge.source, self.votes, self.soft]
        settings += [self.only, self.first or UNTOLD]
        asked = [judge.model.fingerprint, self.repairs, _form_fingerprint(judge.form)]
        made_from = fingerprint_of(sources, [*settings, *asked])
        size = WINDOW if self.scaling.ray is None else CLUSTER_WINDOW
        with resumable_rows(self.out, made_from, out.progress, rows_a_chunk=WINDOW) as rows:
            out.progress.start(f"ask {judge.model.name}", num_rows)
            out.progress.advance(rows.done)
            left = islice(enumerate(self._records(sources, Skipped())), rows.done, None)
            while window := list(islice(left, size)):
                rows.append(map(encode_record, _labeled(window, judge, chosen)))
                out.progress.advance(len(window))

    def _result(self, judge: JudgeLabeler, num_rows: int, skipped: int) -> dict[str, Any]:
        labels: Counter[str] = Counter()
        for record in read_records(self.out):
            found = record.labels_from(judge.source)
            labels.update(word_for(label) for label in (found.labels if found else ()))
        return {
            "out": name_of(self.out),
            "source": judge.source,
            "rows": num_rows,
            "skipped_rows": skipped,
            "labels": dict(sorted(labels.items())),
            **asdict(judge.spent),
            "cost": judge.spent.cost(*self.price),
        }


def _labeled(
    window: Sequence[tuple[int, ChainRecord]], judge: JudgeLabeler, chosen: Container[int]
) -> Iterable[ChainRecord]:
    """The records, those at chosen places with labels."""
    labels = iter(judge.label_all([record.chain for k, record in window if k in chosen]))
    for k, record in window:
        for one in next(labels) if k in chosen else ():
            record = record.with_labels(one)
        yield record


def _form_fingerprint(form: Form) -> Any:
    return msgspec.to_builtins(form)


def _object(text: str) -> dict[str, Any]:
    try:
        return msgspec.json.decode(text, type=dict[str, Any])
    except msgspec.DecodeError as error:
        raise RungError(f"--extra-body is no JSON object ({error})") from error


def _local(place: str, temperature: float, max_tokens: int, trust_pickle: bool) -> LocalChat:
    from rung.generate import TransformersCompleter
    from rung.model import load_causal_lm, trunk_hash
    from rung.model.device import pick_device
    from rung.model.families.texts import chat, plain_text

    loaded = load_causal_lm(place, trust_pickle=trust_pickle)
    if not loaded.tokenizer.chat_template:
        raise RungError(f"{place} has no chat template, and a judge is asked through one")
    loaded.model.to(pick_device())
    plain = plain_text(loaded.tokenizer)  # a step must not end the judge's turn
    return LocalChat(
        completer=TransformersCompleter(loaded.model, loaded.tokenizer, Path(place).name),
        show=lambda turns: chat(
            loaded.tokenizer,
            [(turn.role, plain(turn.content)) for turn in turns],
            generation_prompt=True,
        ),
        weights_hash=trunk_hash(place, trust_pickle=trust_pickle),
        temperature=temperature,
        max_tokens=max_tokens,
        count=lambda text: len(loaded.tokenizer.encode(text, add_special_tokens=False)),
    )


def _show(console: Console, result: dict[str, Any], spent: Spent) -> None:
    console.print(f"{result['rows']} chains in {result['out']}", soft_wrap=True)
    counts = ", ".join(f"{count} {word}" for word, count in result["labels"].items())
    console.print(f"  steps by {result['source']}: {counts}", soft_wrap=True, markup=False)
    tokens = f"{spent.prompt_tokens} tokens in, {spent.completion_tokens} out"
    known = f"{spent.logged_replies} were known"
    console.print(f"  {spent.new_replies} new replies ({tokens}), {known}", soft_wrap=True)
    if result["cost"]:
        console.print(f"  cost: {result['cost']:.4f}")
    if spent.repaired or spent.unreadable or spent.refused:
        lost = f"{spent.unreadable} never could, {spent.refused} were refused"
        asked = f"{spent.repaired} answers could not be read and were asked again"
        console.print(f"  {asked}; {lost}", soft_wrap=True)
