"""In which mode frames of one server come the fastest: measured with frames that are read anyway. Pure.

Servers differ by two orders of magnitude in both directions: some read the whole instance anew for each request,
others build lists more slowly than they answer single requests. gzip helps native pixels over slow lines only. Where
each slice is an instance, one reply with the whole series spares a request for each.

The rounds: a single frame, a list alone, where single frames may win these at the same time, and lists at the same time
unless these cannot win any more; for native frames over a slow line, compressed replies in the better mode. Lists at
the same time come late, because their frames keep the decoders busy for a while, and with them the machine.

A far server is not waited for: where the single frame does not come at once, lists go out beside it, and if these bring
many times as much meanwhile as single frames could, all is known that matters.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from dicomzarr.sources.dicomweb.tuning.server_profile import FetchMode, Form, Rate
from dicomzarr.sources.dicomweb.tuning.thresholds import Thresholds

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from dicomzarr.sources.dicomweb.tuning.server_profile import FrameKind

LONG: Final = 64
"""Frames of an instance below which lists or single requests make no difference worth learning."""

_MOST_FAILURES: Final = 8
_WEIGHT: Final = 0.2
"""Of the last request in the usual duration."""

_LIST, _SPLIT, _SINGLES, _SERIES = map(FetchMode, Form)
_UNKNOWN: Final = Rate()


@dataclass(slots=True, eq=False)
class Round:
    """Requests of one mode that are measured together; perhaps those of several reads."""

    mode: FetchMode
    connections: int
    """Requests under way at once."""
    budget: int = 0
    """Frames that it may still ask for so that they count."""
    least: int = 0
    """Frames that must have come for it to count."""
    warm_up: int = 0
    """Frames that come first, while connections are made, and say nothing about speed."""
    before_series: bool = False
    """A whole series is to be compared with it."""
    beside: Round | None = None
    """What is asked for meanwhile if it does not come at once."""
    asked: int = 0
    came: int = 0
    nbytes: int = 0
    under_way: int = 0
    seconds: float = 0.0
    """With a request under way."""
    warm_after: float = 0.0
    """Of these, what the warm-up took."""
    since: float = 0.0
    """When its first request went out, or the last one ended."""

    def rate(self, until: float) -> Rate:
        """How fast frames came; it counts so long."""
        frames = (self.came - self.warm_up) / max(self.seconds - self.warm_after, 1e-6)
        return Rate(frames, self.nbytes / max(self.seconds, 1e-6), until)

    def ask(self, frames: int, now: float) -> None:
        """A request for so many frames goes out."""
        if not self.under_way:
            self.since = now
        self.under_way += 1
        self.asked += frames
        self.budget = max(0, self.budget - frames)

    def answer(self, came: int, nbytes: int, now: float) -> None:
        """A request has ended."""
        self.under_way -= 1
        self.came += came
        self.nbytes += nbytes
        self.seconds += now - self.since
        self.since = now
        if self.came <= self.warm_up:
            self.warm_after = self.seconds

    def is_over(self, queued: int, enough: int) -> bool:
        """Whether all came that was asked for, with so many frames in the queue, and enough of them beside it."""
        if self.under_way or (self.budget and queued):
            return False
        return self.beside is None or self.beside.came >= enough or not self.beside.under_way


@dataclass(slots=True)
class Experiment:
    """Decides how one server is asked for frames of one kind, and learns from how it answers."""

    kind: FrameKind
    connections: int
    """Requests that may be under way at once."""
    rates: dict[FetchMode, Rate]
    """What has been learned of the server; what has expired counts until something else is known."""
    thresholds: Thresholds = field(default_factory=Thresholds)
    duration: float = 0.0
    """Seconds that a request usually takes; 0 while none has ended."""
    _of_lists: float = 0.0
    """The same of lists that are no shorter than half of the usual length."""
    _round: Round | None = None
    _found: dict[FetchMode, Rate] = field(default_factory=dict)
    """What the rounds before have shown."""
    _alone: list[float] = field(default_factory=list)
    """Frames a second that came singly, one after the other: the first may find caches cold."""
    _unaccompanied: Round | None = None
    """How the request was asked that has been under way alone so far."""
    _failures: int = 0
    """Times that finding out came to nothing."""
    _blocked_since: float | None = None
    """When the rounds began to keep readers waiting."""
    _all: Round = field(default_factory=lambda: Round(_LIST, 0))
    """All requests since the last rounds."""

    def next(self, queued: int, now: float, *, whole: bool = False) -> Round | None:
        """How to ask next; None when what is measured, and under way, must end first.

        Args:
            queued: Frames that wait, at least one.
            now: Seconds of a steady clock.
            whole: The whole series may be asked for.
        """
        usual = self.usual()
        whole = whole and self._series_may_win(usual.mode, now)
        if whole and now < self._rate(usual.mode).until:
            return Round(_SERIES, 1)
        if self._round is None or (self._round.before_series and not whole):
            if not (whole or self._is_worth_trying(queued, now)):
                return usual
            self._found, self._alone = self._fresh(now), []
            self._round = self._before_series(usual.mode) if whole else self._next_round(self._found)
        measured = self._round
        if measured is None:
            return usual
        if measured.budget and (measured.before_series or measured.asked or not self._all.under_way):
            self._blocked_since = None
            return measured
        if measured.before_series or (measured.beside is not None and measured.asked):
            is_late = bool(measured.came) or now - measured.since >= self.thresholds.at_once
            return measured.beside if is_late else None
        is_usual = (measured.mode, measured.connections) == (_LIST, self.connections) and bool(measured.asked)
        return usual if is_usual or self._loses_patience(now) else None

    def usual(self) -> Round:
        """How to ask by what is known, measuring nothing."""
        return Round(self._fastest(self.rates), self.connections)

    @property
    def patience(self) -> float:
        """Seconds for which `next` keeps readers waiting."""
        if self._round is not None and self._round.beside is not None and self._round.asked:
            return self.thresholds.at_once
        return max(self.thresholds.patience, 2 * self.duration)

    def series_patience(self, frames: int) -> float:
        """Seconds that a whole series may take, but for those in which we were not ready for it."""
        singles = self._rate(self._fastest(self.rates)).frames
        return self.thresholds.patience * max(1.0, frames / max(singles, 1e-6))

    @property
    def list_seconds(self) -> float:
        """What a list usually takes; 0 where that is not known, or while modes are compared, by lists of one length."""
        return self._of_lists if self._round is None else 0.0

    @property
    def gather(self) -> float:
        """Seconds for which a queue shorter than a list waits for more, while requests are under way."""
        return min(self.thresholds.longest_gather, self.thresholds.gathered_share * self.duration)

    def asked(self, choice: Round, frames: int, now: float) -> None:
        """A request for so many frames goes out."""
        self._unaccompanied = None if self._all.under_way else choice
        self._all.ask(frames, now)
        choice.ask(frames, now)

    def ended(self, choice: Round, sizes: Sequence[int], seconds: float, now: float, *, queued: int) -> None:
        """A request has ended.

        Args:
            choice: How it was asked.
            sizes: Bytes of each frame that it brought.
            seconds: How long it took.
            now: Seconds of a steady clock.
            queued: Frames that wait.
        """
        self.duration = _averaged(self.duration, seconds)
        if len(sizes) >= LONG // 2:
            self._of_lists = _averaged(self._of_lists, seconds)
        self._all.answer(len(sizes), sum(sizes), now)
        choice.answer(len(sizes), sum(sizes), now)
        self._list_alone(choice, len(sizes))
        measured = self._round
        if measured is None or choice not in {measured, measured.beside}:
            return
        if measured.is_over(queued, self.thresholds.list_frames):
            self._round_ended(measured, now)

    def series_ended(self, rate: Rate) -> None:
        """A whole series has come so fast, or failed to come."""
        self.rates[_SERIES] = rate

    # --- what is known ---

    def _rate(self, mode: FetchMode) -> Rate:
        return self.rates.get(mode, _UNKNOWN)

    def _fresh(self, now: float) -> dict[FetchMode, Rate]:
        return {mode: rate for mode, rate in self.rates.items() if mode != _SERIES and now < rate.until}

    def _fastest(self, rates: Mapping[FetchMode, Rate]) -> FetchMode:
        """Of the modes that serve any read."""
        a_list, split, singles = (rates.get(mode, _UNKNOWN).frames for mode in (_LIST, _SPLIT, _SINGLES))
        if self.kind.least == 1 or singles > split:
            form, plain = Form.SINGLES, singles
        else:
            is_known = bool(a_list) or self.kind.least < LONG  # else a server may pay for each list that is cut up
            spread = is_known and split > self.thresholds.in_parallel * a_list
            form, plain = Form.SPLIT_LISTS if spread else Form.LIST, split
        packed = rates.get(FetchMode(form, gzip=True), _UNKNOWN).frames
        return FetchMode(form, gzip=packed > self.thresholds.worth_gzip * plain)

    def _series_may_win(self, usual: FetchMode, now: float) -> bool:
        series, thresholds = self._rate(_SERIES), self.thresholds
        is_slow = self.kind.native and series.nbytes < thresholds.slow_line
        worth = thresholds.worth_series_on_slow_line if is_slow else thresholds.worth_series
        return now >= series.until or series.frames > worth * self._rate(usual).frames

    # --- rounds ---

    def _is_worth_trying(self, queued: int, now: float) -> bool:
        busy = self._all.seconds >= self.thresholds.learn_after * 2**self._failures
        can_differ = self.kind.least >= LONG or self.kind.native
        pays = busy or (queued >= self.thresholds.learn_frames and not self._failures)
        is_known = self.kind.least > 1 and now < max(self._rate(_LIST).until, self._rate(_SPLIT).until)
        return can_differ and pays and not is_known and self._next_round(self._fresh(now)) is not None

    def _before_series(self, mode: FetchMode) -> Round:
        each = self.connections
        frames = self.thresholds.singles_before_series * each
        return Round(mode, each, frames, frames, warm_up=each, before_series=True)

    def _next_round(self, found: Mapping[FetchMode, Rate]) -> Round | None:
        """What is not known and matters; None when the fastest mode is known."""
        if self.kind.least < LONG:
            base = _SINGLES if self.kind.least == 1 else _SPLIT
            return self._next_gzip(found) if base in found else self._many(base)
        if not {_LIST, _SPLIT} & found.keys():
            return self._first_round()
        a_list, singles = (found.get(mode, _UNKNOWN).frames for mode in (_LIST, _SINGLES))
        if not {_SINGLES, _SPLIT} & found.keys():
            potential = self.connections * max(self._alone, default=0.0)  # of single frames at the same time
            if potential > a_list:
                return self._many(_SINGLES)
            if not self._alone or (len(self._alone) == 1 and potential * self.thresholds.hopeless > a_list):
                return Round(_SINGLES, 1, 1, 1)
        if _SPLIT not in found and singles < self.thresholds.lists_at_once * a_list:
            # Where singles may be faster, on half of the connections: enough to see, and half of the loss.
            return self._many(_LIST, max(1, self.connections // 2) if _SINGLES in found else None)
        return self._next_gzip(found)

    def _first_round(self) -> Round:
        usual = self.usual()
        may_be_far = not self._alone and self.connections > 1 and usual.mode.form is not Form.SINGLES
        # Of a list one request, however long it is.
        return Round(_SINGLES, 1, 1, 1, beside=usual) if may_be_far else Round(_LIST, 1, 1, 1)

    def _next_gzip(self, found: Mapping[FetchMode, Rate]) -> Round | None:
        fastest = self._fastest(found)
        plain, packed = found[_SINGLES if fastest.form is Form.SINGLES else _SPLIT], fastest._replace(gzip=True)
        is_slow = self.kind.native and plain.nbytes < self.thresholds.slow_line
        return self._many(packed) if is_slow and packed not in found else None

    def _many(self, mode: FetchMode, connections: int | None = None) -> Round:
        each, listed = self.connections, self.thresholds.list_frames
        if mode.form is not Form.SINGLES and self.kind.least >= LONG:
            return Round(mode, connections or each, listed, listed // 4)
        return Round(mode, each, self.thresholds.singles * each, 2 * each, warm_up=each)

    def _round_ended(self, done: Round, now: float) -> None:
        if done.came < done.asked:  # which says nothing about speed
            self._give_up()
            if done.before_series:
                self.series_ended(Rate(until=now + self.thresholds.doubts))
        elif done.came >= done.least:
            rate, alone = done.rate(now), done.least == 1
            if alone and done.mode == _SINGLES:
                self._alone.append(rate.frames)
                self._far_away(done, now)
            else:
                self._found[_SPLIT if done.mode == _LIST and not alone else done.mode] = rate
            self._round = None if done.before_series else self._next_round(self._found)
            if self._round is None:
                self._keep(now + self.thresholds.keeps)

    def _far_away(self, single: Round, now: float) -> None:
        """Lists came beside a single frame: perhaps so fast that single ones cannot win."""
        lists = single.beside
        if lists is not None and lists.came >= self.thresholds.list_frames:
            rate = lists.rate(now)
            if rate.frames > self.thresholds.hopeless * self.connections * self._alone[-1]:
                self._found[_SPLIT] = rate

    def _list_alone(self, choice: Round, came: int) -> None:
        """Where that alone is not known yet, a request that was by itself tells how fast one list comes."""
        is_missing = _SPLIT in self.rates and _LIST not in self.rates and self.kind.least >= LONG
        if is_missing and choice is self._unaccompanied and choice.mode == _LIST and came >= LONG // 2:
            self.rates[_LIST] = choice.rate(self.rates[_SPLIT].until)

    def _keep(self, until: float) -> None:
        """All is known that was to be found out, and counts so long."""
        for mode in self.rates.keys() - {_SERIES}:
            del self.rates[mode]
        self.rates.update({mode: rate._replace(until=until) for mode, rate in self._found.items()})
        self._all.seconds, self._failures, self._blocked_since = 0.0, 0, None

    def _loses_patience(self, now: float) -> bool:
        if self._blocked_since is None:
            self._blocked_since = now
        if now - self._blocked_since < self.patience:
            return False
        self._give_up()
        return True

    def _give_up(self) -> None:
        self._round, self._all.seconds, self._blocked_since = None, 0.0, None
        self._failures = min(_MOST_FAILURES, self._failures + 1)


def _averaged(usual: float, last: float) -> float:
    """A duration that follows the last ones; 0 where there was none."""
    return (1 - _WEIGHT) * usual + _WEIGHT * last if usual else last
