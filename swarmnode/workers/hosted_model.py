"""One model's worker through its life: started when wanted, restarted after a crash, unloaded when idle."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Literal, TypeVar

import structlog
from twisted.internet.defer import Deferred, succeed
from twisted.python.failure import Failure

from swarmnode.driving.driver import Clock
from swarmnode.values.errors import LocalFault, SwarmnodeError, Unavailable
from swarmnode.values.generation import GenerationRequest
from swarmnode.values.loading import LoadedModel
from swarmnode.workers.load_plan import LoadPlan
from swarmnode.workers.loading_log import LoadingLog
from swarmnode.workers.pooled_request import PooledRequest
from swarmnode.workers.restarts import failures_after, restart_delay
from swarmnode.workers.stage_lease import StageLease

#: Requests of one model that wait for its worker.
MAX_WAITING = 512
#: Seconds during which a load that failed is not tried again: requests get its reason at once.
LOAD_AGAIN_SECONDS = 2.0

#: Who wants the worker: it waits, runs, may run again, fails.
Wanting = PooledRequest | StageLease
Taken = TypeVar("Taken", PooledRequest, StageLease)
State = Literal["down", "starting", "ready", "stopping"]
log = structlog.get_logger("workers")


class HostedModel:
    """A model that is wanted, with or without a running worker.

    spawn(label, lost) starts a worker process; room(model) is a Deferred that fires when there is
    memory for it, or fails; noticed(what, label) tells of `loaded`, `unloaded` and `crashed`.
    """

    def __init__(
        self,
        plan: LoadPlan,
        factory: str,
        *,
        clock: Clock,
        spawn: Callable[[str, Callable[[SwarmnodeError], None]], Any],
        room: Callable[[HostedModel], Deferred[None]],
        idle_seconds: float,
        noticed: Callable[[str, str], None],
    ) -> None:
        self.spec, self.footprint_bytes = plan.spec, plan.footprint_bytes
        self.factory = factory
        self.state: State = "down"
        self.last_used = clock.seconds()
        self._clock, self._spawn_worker, self._room = clock, spawn, room
        self._idle_seconds, self._noticed = idle_seconds, noticed
        self._waiting: deque[Wanting] = deque()
        self._active: set[Wanting] = set()
        self._worker: Any = None
        self._description: Mapping[str, Any] = {}
        self._failures = 0
        self._up_since = 0.0
        self._not_before = 0.0
        self._load_error: tuple[float, SwarmnodeError] | None = None
        self._idle_timer: Any = None
        self._restart_timer: Any = None
        self._leavers: list[Deferred[None]] = []

    @property
    def label(self) -> str:
        """The model's label."""
        return self.spec.label

    @property
    def busy(self) -> bool:
        """Whether any request waits or runs."""
        return bool(self._waiting or self._active)

    @property
    def holds_memory(self) -> bool:
        """Whether there is a process, or one about to be."""
        return self.state != "down"

    def as_loaded(self) -> LoadedModel:
        """What others may know."""
        stats = self._worker.stats if self._worker else {}
        return LoadedModel(
            self.label,
            self._worker.pid if self._worker else 0,
            self.state,
            len(self._active) + len(self._waiting),
            int(stats.get("resident_bytes", 0)),
            self.footprint_bytes,
            0.0 if self.busy else self._clock.seconds() - self.last_used,
            str(self._description.get("profile", "")),
            stats.get("prefix_cache") or {},
            stats.get("loading") if self.state == "starting" else None,
            stats.get("load") or {},
            self.spec.kv_bytes,
        )

    def submit(self, request: GenerationRequest, sink: Any) -> PooledRequest:
        """Run the request now, or once the worker is there."""
        return self._take(PooledRequest(request, sink, self._request_over))

    def lease(self, name: str) -> StageLease:
        """Keep the worker for a session of this name, now or once it is there."""
        return self._take(StageLease(name, lambda: self._description, self._request_over))

    def _take(self, pooled: Taken) -> Taken:
        self.last_used = self._clock.seconds()
        self._disarm_idle()
        if refusal := self._refusal():
            pooled.fail(refusal)
        elif self.state == "ready":
            self._run(pooled)
        else:
            self._waiting.append(pooled)
            self._start()
        return pooled

    def preload(self) -> None:
        """Load it although nobody asks yet."""
        if self._refusal() is None:
            self._start()

    def _refusal(self) -> SwarmnodeError | None:
        if len(self._waiting) >= MAX_WAITING:
            return Unavailable(
                f"{MAX_WAITING} requests already wait for {self.label}",
                code="queue_full",
                hint="Try again in a moment.",
            )
        if self._load_error and self._clock.seconds() < self._load_error[0] + LOAD_AGAIN_SECONDS:
            return self._load_error[1]
        return None

    # Starting.

    def _start(self) -> None:
        if self.state != "down" or self._restart_timer:
            return
        delay = self._not_before - self._clock.seconds()
        if delay > 0:
            self._restart_timer = self._clock.callLater(delay, self._start_after_delay)
            return
        self.state = "starting"
        self._room(self).addCallbacks(self._spawn, self._not_loaded)

    def _start_after_delay(self) -> None:
        self._restart_timer = None
        if self._waiting:
            self._start()

    def _spawn(self, _room: None) -> None:
        if self.state != "starting":
            return  # stopped while room was made
        try:
            self._worker = self._spawn_worker(self.label, self._lost)
        except SwarmnodeError as error:
            self._not_loaded(Failure(error))
            return
        self._worker.measured = partial(self._measured, LoadingLog(self.label))
        self._worker.load(self.spec, self.factory).addCallbacks(self._loaded, self._not_loaded)

    def _measured(self, loading: LoadingLog, values: Mapping[str, Any]) -> None:
        loading(values)
        for one in (*self._waiting, *self._active):
            one.measured()

    def _loaded(self, description: Mapping[str, Any]) -> None:
        if self.state != "starting":
            return
        self.state, self._description = "ready", description
        self._up_since = self._clock.seconds()
        self._load_error = None
        log.info("model loaded", model=self.label, pid=self._worker.pid)
        self._noticed("loaded", self.label)
        waiting, self._waiting = self._waiting, deque()
        for pooled in waiting:
            self._run(pooled)
        self._arm_idle()

    def _not_loaded(self, failure: Failure) -> None:
        if self.state != "starting":
            return  # stopped while it loaded: those who waited were told
        error = _reason(failure)
        log.warning("model not loaded", model=self.label, reason=error.message)
        self._load_error = self._clock.seconds(), error
        self._fail_waiting(error)
        self._worker_gone()

    # Running.

    def _run(self, pooled: Wanting) -> None:
        if pooled.over:
            return
        self._active.add(pooled)
        pooled.run_on(self._worker, self._request_lost)

    def _request_over(self, pooled: Wanting) -> None:
        self._active.discard(pooled)
        if pooled in self._waiting:
            self._waiting.remove(pooled)
        self.last_used = self._clock.seconds()
        self._arm_idle()

    def _request_lost(self, pooled: Wanting, error: SwarmnodeError) -> None:
        """The worker goes away under a request. The first one to know tells all of us, before its caller
        hears of it and may ask again."""
        self._active.discard(pooled)
        self._lost(error)
        if pooled.may_run_again():
            self._waiting.append(pooled)
            self._start()
        else:
            pooled.fail(error)

    def _lost(self, error: SwarmnodeError) -> None:
        """The worker's link ended unasked."""
        if self.state != "ready":
            return  # known already; or while loading: the load has failed with the same reason
        ran = self._clock.seconds() - self._up_since
        self._failures = failures_after(self._failures, ran)
        delay = restart_delay(self._failures)
        self._not_before = self._clock.seconds() + delay
        log.warning(
            "worker lost", model=self.label, reason=error.message, failures=self._failures, restart_in=delay
        )
        self._noticed("crashed", self.label)
        for lease in [one for one in self._active if isinstance(one, StageLease)]:
            lease.fail(error)  # before there is another worker, of which it knows nothing
        self._worker_gone()

    def _worker_gone(self) -> None:
        """End what is left of the process; then start another one if somebody waits."""
        self.state = "stopping"
        worker, self._worker = self._worker, None
        self._disarm_idle()
        done = worker.leave() if worker else succeed(None)
        done.addCallback(self._down)

    def _down(self, _result: Any) -> None:
        self.state = "down"
        leavers, self._leavers = self._leavers, []
        for done in leavers:
            done.callback(None)
        if self._waiting:
            self._start()

    # Stopping.

    def stop(self, error: SwarmnodeError | None = None) -> Deferred[None]:
        """End the worker; fires when its process is reaped. Requests that wait or run fail with `error`."""
        reason = error or Unavailable(
            f"{self.label} was unloaded", code="worker_stopped", hint="Send the request again to load it."
        )
        if self._restart_timer:
            self._restart_timer.cancel()
            self._restart_timer = None
        self._fail_waiting(reason)
        if self.state == "stopping" or not self.holds_memory:
            return self._when_down()
        for pooled in list(self._active):
            pooled.fail(reason)
        was_ready = self.state == "ready"
        self._worker_gone()
        if was_ready:
            log.info("model unloaded", model=self.label)
            self._noticed("unloaded", self.label)
        return self._when_down()

    def _when_down(self) -> Deferred[None]:
        if self.state == "down":
            return succeed(None)
        done: Deferred[None] = Deferred()
        self._leavers.append(done)
        return done

    def _fail_waiting(self, error: SwarmnodeError) -> None:
        waiting, self._waiting = self._waiting, deque()
        for pooled in waiting:
            pooled.fail(error)

    # Idleness.

    def _arm_idle(self) -> None:
        self._disarm_idle()
        if self.state == "ready" and not self.busy and self._idle_seconds > 0:
            self._idle_timer = self._clock.callLater(self._idle_seconds, self._idle)

    def _disarm_idle(self) -> None:
        if self._idle_timer is not None and self._idle_timer.active():
            self._idle_timer.cancel()
        self._idle_timer = None

    def _idle(self) -> None:
        if self.state == "ready" and not self.busy:
            self.stop()


def _reason(failure: Failure) -> SwarmnodeError:
    error = failure.value
    if isinstance(error, SwarmnodeError):
        return error
    return LocalFault(f"{type(error).__name__}: {error}", code="internal_error")
