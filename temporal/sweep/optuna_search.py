"""A budgeted search of a sweep's space by Optuna (extra `optuna`): fewer settings tried, poor ones given up early.

Every setting is tried with the first seed and judged by its best validation mAP so far; a trial below the median of the
others at its epoch is stopped (Optuna's MedianPruner; the sampler is TPE: Bergstra et al., NeurIPS 2011). The study
lies in OUT/search.journal, to which every ask and answer is appended as it is made, so a killed search goes on.
"""

import json
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from hashlib import sha256
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...cache.disk import locked_folder, make_folder, whole_file
from ...cache.errors import BallspotError
from ...cache.runs import RunFolder
from .executors import JobRunner
from .job import Job, failure_of, failure_path
from .space import Place, Setting, Space

if TYPE_CHECKING:
    from optuna.study import Study
    from optuna.trial import FrozenTrial, Trial

JOURNAL = "search.journal"
STARTUP_TRIALS = 5  # chosen at random before the sampler learns, and never given up
WARM_UP_SHARE = 0.2  # of the epochs, before which no trial is given up
MAX_REPEATS = 20  # of settings that were tried, before one that was not is drawn at random
SPACE, PLACE, NAME, FAILED = "space", "place", "setting", "failed"  # what the study and its trials remember


@contextmanager
def open_search(space: Space, out: Path, *, identity: str) -> Iterator["Search"]:
    """The search of ``space`` that lies in ``out``, which is made; trials that a kill cut short are asked for again.

    ``identity`` says what else decides the results (features, data): another one is refused. Raises BallspotError
    where Optuna is not installed, another process searches there, or the folder holds the search of another space.
    """
    optuna = _optuna()
    with locked_folder(make_folder(out), waits=False):
        _mend(out / JOURNAL)
        try:
            storage = optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(str(out / JOURNAL)))
            study = optuna.create_study(storage=storage, study_name="search", direction="maximize", load_if_exists=True)
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            raise BallspotError(
                f"{out / JOURNAL}: is not a journal of a search ({error}); choose another --out"
            ) from error
        whole = [_texts(space), list(space.points.items()), space.baseline(), space.laid, identity]
        digest = sha256(json.dumps(whole, sort_keys=True).encode()).hexdigest()
        if study.user_attrs.get(SPACE, digest) != digest:
            raise BallspotError(f"{out}: holds a search of another space or other features; choose another --out")
        study.set_user_attr(SPACE, digest)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            study.sampler = optuna.samplers.TPESampler(
                n_startup_trials=STARTUP_TRIALS, constant_liar=True, seed=len(study.trials)
            )
        for trial in study.get_trials(deepcopy=False, states=[optuna.trial.TrialState.RUNNING]):
            params = {**trial.params, **trial.system_attrs.get("fixed_params", {})}
            if params:
                study.enqueue_trial(params)
            study.tell(trial.number, state=optuna.trial.TrialState.FAIL)
        yield Search(space, study, optuna.trial.TrialState)


class Search:
    """One search under way: which settings were tried, with which value, and which is to be tried next."""

    def __init__(self, space: Space, study: "Study", states: Any) -> None:
        self.space = space
        self.study = study
        self.states = states
        self.texts = _texts(space)
        self.seen: set[str] = set()  # identities of settings: tried, or asked for
        self.retries: set[str] = set()  # of those: failed before, to be tried again
        self.under_way: dict[Path, Trial] = {}
        self.n_reported: dict[Path, int] = {}

    def tried(self) -> dict[Place, "FrozenTrial"]:
        """The trial of every place that was trained, given up or failed, in the order of the trials."""
        ended = (self.states.COMPLETE, self.states.PRUNED, self.states.FAIL)
        return {
            tuple(trial.user_attrs[PLACE]): trial
            for trial in self.study.get_trials(deepcopy=False, states=ended)
            if PLACE in trial.user_attrs and (trial.state != self.states.FAIL or FAILED in trial.user_attrs)
        }

    def ranking(self) -> list[Place]:
        """The places that were trained to their end, the best validation mAP first."""
        done = {place: trial for place, trial in self.tried().items() if trial.state == self.states.COMPLETE}
        return sorted(done, key=lambda place: -(done[place].value or 0.0))

    def run(
        self,
        job_of: Callable[[Setting], Job],
        run_jobs: JobRunner,
        *,
        n_trials: int,
        retry_failed: bool = False,
        on_ask: Callable[[Place, Job], None] = lambda place, job: None,
        on_progress: Callable[[Sequence[Job]], None] = lambda running: None,
    ) -> Iterator[Job]:
        """Tries settings until ``n_trials`` have been, those of before counted, or the space has no more.

        Yields every job that ended. The baseline is the first; ``on_ask`` hears of every trial before it begins.
        """
        self._begin(retry_failed=retry_failed)

        def asked() -> Iterator[Job]:
            while (len(self.seen) < n_trials or self.retries) and (found := self._ask()) is not None:
                place, trial = found
                job = job_of(self.space.setting(place))
                failure_path(job.run).unlink(missing_ok=True)
                self.under_way[job.run], self.n_reported[job.run] = trial, 0
                on_ask(place, job)
                yield job

        def on_poll(jobs: Sequence[Job]) -> list[Job]:
            on_progress(jobs)
            return [job for job in jobs if self._is_given_up(job)]

        for job in run_jobs(asked(), on_poll):
            self._tell(job)
            yield job

    def _begin(self, *, retry_failed: bool) -> None:
        """Takes in what was tried before; the baseline is asked for first, then failed trials, where they count."""
        tried = self.tried()
        self.seen = {self.space.setting(place).identity for place in tried}
        if not self.study.trials:
            self.study.enqueue_trial(self._params(self.space.baseline()))
        for place, trial in tried.items():
            if retry_failed and trial.state == self.states.FAIL:
                self.retries.add(self.space.setting(place).identity)
                self.study.enqueue_trial(self._params(place))

    def _ask(self) -> "tuple[Place, Trial] | None":
        """The next trial of a setting that is new or to be tried again; None where the space has no more."""
        n_repeats = 0
        while True:
            trial = self.study.ask()
            place = tuple(
                texts.index(trial.suggest_categorical(axis.name, texts)) if len(texts) > 1 else 0
                for axis, texts in zip(self.space.axes, self.texts, strict=True)
            )
            if place not in self.space.points:  # a condition skips it
                self.study.tell(trial, state=self.states.PRUNED)
            elif (setting := self.space.setting(place)).identity in self.seen - self.retries:
                self.study.tell(trial, state=self.states.FAIL)  # nothing new; told again it would weigh twice
            else:
                self.seen.add(setting.identity)
                self.retries.discard(setting.identity)
                trial.set_user_attr(PLACE, list(place))
                trial.set_user_attr(NAME, setting.name)
                return place, trial
            n_repeats += 1
            if n_repeats >= MAX_REPEATS:
                untried = self._untried()
                if untried is None:
                    return None
                self.study.enqueue_trial(self._params(untried))
                n_repeats = 0

    def _is_given_up(self, job: Job) -> bool:
        """Reports the epochs that a job has done since it was asked last; whether it is to be stopped now."""
        trial, log = self.under_way[job.run], RunFolder(job.run).log()
        best = 0.0
        for place, line in enumerate(log):
            best = max(best, line.get("valid_mean_ap") or 0.0)
            if place >= self.n_reported[job.run] and "valid_mean_ap" in line:
                trial.report(best, line["epoch"])
        self.n_reported[job.run] = len(log)
        n_epochs = job.config.training.n_epochs
        self.study.pruner = self._pruner(n_epochs)
        return WARM_UP_SHARE * n_epochs < len(log) < n_epochs and trial.should_prune()

    def _tell(self, job: Job) -> None:
        """Tells the study how the trial of a job ended."""
        trial, folder = self.under_way.pop(job.run), RunFolder(job.run)
        if folder.is_done:
            self.study.tell(trial, folder.metric("mean_ap"))
        elif failure_of(job.run) is not None:
            trial.set_user_attr(FAILED, True)
            self.study.tell(trial, state=self.states.FAIL)
        else:
            with suppress(BallspotError), folder.at_work(waits=False):
                pass  # clears what the killed process left half-written
            self.study.tell(trial, state=self.states.PRUNED)

    def _params(self, place: Place) -> dict[str, str]:
        every = zip(self.space.axes, self.texts, place, strict=True)
        return {axis.name: texts[index] for axis, texts, index in every if len(texts) > 1}

    def _untried(self) -> Place | None:
        """A place that was not tried, by a draw that is the same for the same number of trials; None for none."""
        places = list(self.space.points)
        first = int(sha256(str(len(self.study.trials)).encode()).hexdigest(), 16) % len(places)
        for place in places[first:] + places[:first]:
            if self.space.setting(place).identity not in self.seen:
                return place
        return None

    def _pruner(self, n_epochs: int) -> Any:
        median = _optuna().pruners.MedianPruner
        return median(n_startup_trials=STARTUP_TRIALS, n_warmup_steps=int(WARM_UP_SHARE * n_epochs))


def _mend(journal: Path) -> None:
    """Drops a last line that was not written to its end, and Optuna's lock; nobody else is at work here."""
    journal.with_name(f"{journal.name}.lock").unlink(missing_ok=True)
    if journal.is_file():
        content = journal.read_bytes()
        whole = content[: content.rfind(b"\n") + 1]
        if whole != content:
            with whole_file(journal) as temporary:
                temporary.write_bytes(whole)


def _texts(space: Space) -> list[list[str]]:
    """The values of every axis as texts, which Optuna keeps as they are."""
    return [
        [f"{place}: {json.dumps(values, sort_keys=True)}" for place, values in enumerate(axis.values)]
        for axis in space.axes
    ]


def _optuna() -> Any:
    try:
        optuna = import_module("optuna")
        import_module("optuna.storages.journal")
    except ImportError as error:
        raise BallspotError("--search optuna: it is not installed; pip install 'ballspot[optuna]'") from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna
