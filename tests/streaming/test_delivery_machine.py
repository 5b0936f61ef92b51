"""Random histories of delivery: readers of all kinds that lag, acknowledge, filter, leave and come back.

They are added to what :class:`tests.streaming.test_machines.SessionMachine` lets happen: appends, pauses, resumes,
stops, lost runners, further sessions, forgotten logs.
"""

from __future__ import annotations

import itertools
import random

from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, rule

from app.errors import InvalidState
from app.protocol.common import Filter
from app.streaming.follower import Follower
from app.streaming.log import LogEntry
from app.streaming.readers import CatchUp, Place, ReaderOptions
from app.streaming.view import View
from tests.streaming.member import Member
from tests.streaming.stage import Stage
from tests.streaming.test_machines import SessionMachine, _settings

INDEX = st.integers(0, 9)
FILTERS = st.sampled_from(
    [
        Filter(types=("message_delta",)),
        Filter(types=("agent_message", "agent_step")),
        Filter(agents=("Bob",)),
        Filter(roles=("agent",), agents=("Ann",)),
        Filter(roles=("user",)),
    ]
)
VIEWS = st.one_of(st.just(View()), st.builds(View, st.one_of(st.none(), FILTERS), st.booleans()))
OPTIONS = st.builds(
    ReaderOptions, view=VIEWS, acks=st.booleans(), batch=st.booleans(), batch_s=st.sampled_from([0.0, 0.0, 0.1, 2.0])
)


class DeliveryMachine(SessionMachine):
    """Every reader has seen what the log has for it, however slow it is; nobody is cut off who need not be."""

    @initialize(
        seed=st.one_of(st.none(), st.integers(0, 2**32)),
        log=st.sampled_from([4, 30, 10_000]),
        pace=st.sampled_from([0, 50]),
        batch_bytes=st.sampled_from([300, 2_000, 65_536]),
        window_bytes=st.sampled_from([500, 5_000]),
        interval_s=st.sampled_from([0.0, 0.25]),
        wishes=st.lists(OPTIONS, min_size=2, max_size=4),
    )
    def begin(  # type: ignore[override]  # another machine, other parameters
        self,
        seed: int | None,
        log: int,
        pace: float,
        batch_bytes: int,
        window_bytes: int,
        interval_s: float,
        wishes: list[ReaderOptions],
    ) -> None:
        self.whole_log: list[LogEntry] = []
        self.sids = (f"member{number}" for number in itertools.count(1))
        self.members: list[Member] = []
        self.followers: list[tuple[Follower, Member]] = []
        self.catch_up = CatchUp(batch_bytes=batch_bytes, interval_s=interval_s, window_bytes=window_bytes)
        self.stage = Stage(
            tokens_per_s=pace,
            buffer_tokens=100,
            choices=random.Random(seed) if seed is not None else None,
            max_log_entries=log,
            catch_up=self.catch_up,
            record=lambda _, entry: self.whole_log.append(entry),
        )
        self._begin_with(self.stage)
        for options in wishes:
            self.come(options, True)

    def _member(self, index: int) -> Member | None:
        return self.members[index % len(self.members)] if self.members else None

    # the other machine's readers are of one kind: here it has one, which stays
    join = attach = leave = come_back = None  # type: ignore[assignment]

    # --- coming and going

    @rule(options=OPTIONS, attach=st.booleans())
    def come(self, options: ReaderOptions, attach: bool) -> None:
        member = Member(next(self.sids), self.stage.transport, options, self.whole_log)
        self.members.append(member)
        self._join(member, attach)

    @rule(index=INDEX)
    def attach_member(self, index: int) -> None:
        member = self._member(index)
        if member is not None and member.following:
            self.stage.conversation.attach(member.sid)
            member.attached = True

    @rule(index=INDEX, attach=st.booleans(), anew=st.booleans())
    def join_again(self, index: int, attach: bool, anew: bool) -> None:
        member = self._member(index)
        if member is not None:
            self._join(member, attach, anew=anew)

    @rule(index=INDEX)
    def member_leaves(self, index: int) -> None:
        member = self._member(index)
        if member is not None and member.following:
            assert self.stage.conversation.leave(member.sid)
            member.left()

    @rule(index=INDEX, attach=st.booleans())
    def reconnect(self, index: int, attach: bool) -> None:
        member = self._member(index)
        if member is not None:
            self._disconnect(member)
            member.reconnected(next(self.sids), self.stage.transport)
            self._join(member, attach)

    def _join(self, member: Member, attach: bool, *, anew: bool = False) -> None:
        member.join(self.stage.conversation, anew=anew)
        member.acked, member.acked_at = member.history.offset, self.stage.simulation.now
        if attach:
            self.stage.conversation.attach(member.sid)
            member.attached = True

    def _disconnect(self, member: Member) -> None:
        self.stage.transport.disconnect(member.sid)
        self.stage.conversation.gone(member.sid)
        member.left()

    # --- slow and quick

    @rule(index=INDEX)
    def clog(self, index: int) -> None:
        member = self._member(index)
        if member is not None and member.sid in self.stage.transport.received:
            self.stage.transport.clogged.add(member.sid)

    @rule(index=INDEX, messages=st.integers(1, 4), tokens=st.integers(1, 20))
    def overwhelm(self, index: int, messages: int, tokens: int) -> None:
        """It takes nothing while several messages are said."""
        self.clog(index)
        for _ in range(messages):
            self.speak(tokens)
            self.finish_message()
            self.take_a_turn(1)
        self.stage.advance(0.1)

    @rule(index=INDEX)
    def sip(self, index: int) -> None:
        """It takes what it was handed, and clogs with the next."""
        member = self._member(index)
        if member is not None and member.sid in self.stage.transport.pending:
            self.stage.transport.pending.discard(member.sid)
            self.stage.conversation.drained(member.sid)

    @rule(index=INDEX)
    def unclog(self, index: int) -> None:
        member = self._member(index)
        if member is not None:
            self._unclog(member)

    def _unclog(self, member: Member) -> None:
        self.stage.transport.unclog(member.sid)
        self.stage.conversation.drained(member.sid)

    @rule(index=INDEX, short=st.integers(0, 5))
    def acknowledge(self, index: int, short: int) -> None:
        member = self._member(index)
        if member is not None and member.following and member.options.acks:
            self._acknowledge(member, short)

    def _acknowledge(self, member: Member, short: int = 0) -> None:
        member.read()
        offset = max(0, member.history.offset - short)
        self.stage.conversation.acknowledge(member.sid, offset)
        if offset > member.acked:  # what it has said before is nothing new
            member.acked, member.acked_at = offset, self.stage.simulation.now

    @rule()
    def look_after_readers(self) -> None:
        now = self.stage.simulation.now
        self.stage.transport.cut.clear()
        self.stage.conversation.look_after_readers(now)
        for sid in self.stage.transport.cut:
            member = next(each for each in self.members if each.sid == sid)
            assert member.options.acks, "only who has promised to acknowledge is cut off for silence"
            assert now - member.acked_at > self.catch_up.timeout_s, "cut off too early"
            self._disconnect(member)
            member.reconnected(next(self.sids), self.stage.transport)

    @rule(seconds=st.sampled_from([0.3, 31]))
    def time_passes(self, seconds: float) -> None:
        self.stage.advance(seconds)

    @rule(beat=st.booleans())
    def announce(self, beat: bool) -> None:
        if beat:
            self.stage.conversation.announce_heartbeat()
        else:
            self.stage.conversation.announce_presence()

    # --- followers: the other doors

    @rule(view=VIEWS)
    def follow(self, view: View) -> None:
        ack, follower = self.stage.conversation.follow(view=view)
        member = Member(next(self.sids), self.stage.transport, ReaderOptions(view=view), self.whole_log)
        member.history.joined(None, ack.model_dump(mode="json"))
        member._begin(ack.offset)
        self.followers.append((follower, member))

    @rule(index=INDEX, most=st.sampled_from([1, 500, 65_536]))
    def follower_reads(self, index: int, most: int) -> None:
        if self.followers:
            self._read_portion(*self.followers[index % len(self.followers)], most)

    def _read_portion(self, follower: Follower, member: Member, most: int) -> bool:
        portion = follower.read(most)
        if portion is None:
            return False
        if portion.snapshot is not None:
            assert not portion.entries
            member.take("resync", {"conversation_id": "c1", "snapshot": portion.snapshot})
        for entry in portion.entries:
            member.take(entry.name, entry.payload)
        assert member.history.offset == portion.offset
        return True

    @rule(index=INDEX)
    def follower_closes(self, index: int) -> None:
        if self.followers:
            follower, _ = self.followers.pop(index % len(self.followers))
            follower.close()
            assert follower.read() is None

    # --- what always holds

    @invariant()
    def members_see_the_log(self) -> None:
        if hasattr(self, "members"):
            for member in self.members:
                member.read()
                member.check()
            for _, member in self.followers:
                member.check()

    @invariant()
    def watchers_are_counted(self) -> None:
        if hasattr(self, "members"):
            self.stage.settle()
            following = sum(member.following for member in self.members) + len(self.following)
            assert self.stage.conversation.watchers == following + len(self.followers)

    def teardown(self) -> None:
        if not hasattr(self, "members"):
            return
        for member in self.members:
            if not member.following:
                member.join(self.stage.conversation)
            self._unclog(member)
            self.stage.conversation.attach(member.sid)
        try:
            super().teardown()
            self._all_catch_up()
            self._all_leave()
        finally:
            for follower, _ in self.followers:
                follower.close()

    def _check_tasks(self) -> None:
        """Readers outside the room have a task each, as long as they are there: see :meth:`_all_leave`."""

    def _all_leave(self) -> None:
        for sid in [member.sid for member in self.members] + [reader.sid for reader in self.readers]:
            self.stage.conversation.leave(sid)
        self.stage.advance(1)
        super()._check_tasks()
        wrong = [task.error for task in self.stage.simulation.tasks if task.error is not None]
        assert all(isinstance(error, InvalidState) for error in wrong), wrong  # of refused commands

    def _all_catch_up(self) -> None:
        for _ in range(2_000):
            for member in self.members:
                self._acknowledge(member)
            self.stage.advance(3)
            if all(self._in_step(member) for member in self.members):
                break
        truth = self.stage.conversation.snapshot()
        for member in self.members:
            member.read()
            member.check()
            member.check_whole(truth)
        for follower, member in self.followers:
            while self._read_portion(follower, member, 500):
                member.check()
            member.check_whole(truth)

    def _in_step(self, member: Member) -> bool:
        reader = self.stage.conversation.readers.get(member.sid)
        assert reader is not None
        return reader.place is Place.ROOM or (
            not reader.options.shares_the_room and reader.cursor.offset == self.stage.conversation.log.offset
        )


TestDelivery = DeliveryMachine.TestCase
TestDelivery.settings = _settings(150, 40)
