"""`rung serve`: scores, searches and answers over HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import tyro

from rung.cli.inputs import Separator
from rung.cli.output import JsonFlag, Output
from rung.cli.places import FamilyOptions, TrustPickle, named_places, options_by_name
from rung.cli.policies import PolicyOptions, open_policy
from rung.cli.scorers import Calibration, Opening, Precision, open_scorer
from rung.cli.serving import LOCALLY, ServerOptions, check_installed
from rung.core.errors import RungError
from rung.core.protocols import Generator

if TYPE_CHECKING:
    from rung.score import ModelScorer
    from rung.serve.service import Capacity, Service


@dataclass(frozen=True, slots=True)
class Serve:
    """Score chains, search and answer over HTTP.

    At /v1/score, /v1/sessions, /pooling, /v1/search and /v1/chat/completions; what many clients
    ask for is done together. It listens on this machine alone unless --host says otherwise
    (docs/guides/http.md).
    """

    scorer: Annotated[
        tuple[str, ...], tyro.conf.UseAppendAction, tyro.conf.arg(metavar="FOLDER")
    ] = ()
    """A PRM's or ORM's folder, or NAME=FOLDER; give it again for another. FOLDER@URL asks the vLLM
    server there."""
    policy: Annotated[str | None, tyro.conf.arg(metavar="FOLDER")] = None
    """What writes, for searches and chats: as `rung search --policy` takes it."""
    server: ServerOptions = LOCALLY
    max_waiting: int = 1024
    """Requests that may wait for each model; more are told to come again (503)."""
    max_sessions: int = 256
    """Scoring sessions that may be open at once."""
    session_idle_s: float = 600.0
    """Unused for so many seconds, a session ends."""
    max_searches: int = 16
    """Searches that may run at once."""
    max_search_tokens: int = 2**20
    """Tokens that one search may sample and score."""
    max_kept_mib: float = 1024.0
    """Memory of each scorer for the keys and values of growing prefixes."""
    family: str = "auto"
    """How the scorers are read: auto tells it from their files, or a published family's name."""
    family_option: FamilyOptions = ()
    """An option of the family (docs/guides/published-models.md); give it again for another."""
    scorer_key_env: str | None = None
    """The environment variable with the token that the server of FOLDER@URL asks for."""
    trust_pickle: TrustPickle = False
    precision: Precision = "auto"
    """auto takes bf16 for large models on hardware that is fast at it, else fp32."""
    calibrated: Calibration | None = None
    """Give probabilities by a map of 'rung calibrate'; the scorers' names end in its name."""
    batch_tokens: int | None = None
    """Tokens in one forward pass; by default 1024 on a CPU, 16384 on a GPU."""
    chat: bool = False
    """Show the question as a user's message in the policy's chat template."""
    question_separator: Separator = "\n"
    """Written behind the question (without --chat)."""
    step_separator: Separator = "\n"
    """What stands between steps; the policy's text is cut there."""
    key_env: str = "OPENAI_API_KEY"
    """The environment variable that holds the key of a policy's server."""
    json: JsonFlag = False

    def run(self, out: Output) -> None:
        """Serve."""
        check_installed()
        if not self.scorer and self.policy is None:
            raise RungError("nothing to serve: give --scorer FOLDER, --policy FOLDER, or both")
        from rung.serve.running import check_listening, run_app
        from rung.serve.service import Service
        from rung.serve.serving import serving_app

        capacity, safety = self._capacity(), self.server.safety()
        check_listening(safety, self.server.listening)
        with ExitStack() as opened:
            scorers = list(self._scorers(out))
            service = Service(scorers, self._policy(opened), capacity)
            app = serving_app(service, safety)
            out.progress.log(f"models: {', '.join(_names(service))}")
            run_app(app, self.server.listening, out.progress, path="/v1/models")
        result = {"models": _names(service)}
        out.result(result, lambda _: None)

    def _capacity(self) -> Capacity:
        from rung.serve.service import Capacity

        return Capacity(
            max_waiting=self.max_waiting,
            max_sessions=self.max_sessions,
            session_idle_s=self.session_idle_s,
            max_searches=self.max_searches,
            max_search_tokens=self.max_search_tokens,
            max_kept_mib=self.max_kept_mib,
        )

    def _scorers(self, out: Output) -> Iterator[ModelScorer]:
        how = Opening(
            family=self.family,
            options=options_by_name(self.family_option),
            key_env=self.scorer_key_env,
            trust_pickle=self.trust_pickle,
            precision=self.precision,
            calibrated=self.calibrated,
            batch_tokens=self.batch_tokens,
        )
        for place in named_places(self.scorer) if self.scorer else ():
            yield open_scorer(place, how, out.progress)

    def _policy(self, opened: ExitStack) -> Generator | None:
        if self.policy is None:
            return None
        how = PolicyOptions(
            chat=self.chat,
            question_separator=self.question_separator,
            step_separator=self.step_separator,
            max_batch_chains=128,
            key_env=self.key_env,
            trust_pickle=self.trust_pickle,
        )
        return opened.enter_context(open_policy(self.policy, how))[0]


def _names(service: Service) -> list[str]:
    policy = [] if service.policy is None else [service.policy.policy.name]
    return [*policy, *service.scorers]


COMMAND = Serve
