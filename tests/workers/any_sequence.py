"""A VM on the fake machine, to which anything happens in any order, beside a model that knows only what the guest wrote."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

from hypothesis import event
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from hypervisor.fake_guest import GuestStandsStill
from stillframe.layers import collect
from stillframe.rules import ALIVE
from stillframe.states import VmState
from tests.workers.fake_world import Death, Job, World
from workers.carry import End, Ending

#: What a volume reads as, by target.
Volumes = dict[str, dict[str, Any]]
#: At which point of a job something happens, and what.
Happens = list[tuple[int, str]]

VOLUMES = (
    {"vda": "qcow2"},
    {"vda": "raw", "vdb": "qcow2"},
    {"vda": "raw", "vdb": "qcow2", "vdc": "qcow2"},
)
#: A job passes some 20 to 100 points; what lies behind its end never happens.
happenings = st.lists(
    st.tuples(
        st.integers(0, 60),
        st.sampled_from(["dies", "dies", "cancel", "cancel", "writes", "crashes", "shuts_down", "starts"]),
    ),
    max_size=5,
    unique_by=lambda one: one[0],
)


class AnySequence(RuleBasedStateMachine):
    """The model is three things: what each snapshot reads as, what the guest's volumes read as, and who grew out of whom."""

    @initialize(volumes=st.sampled_from(VOLUMES))
    def begin(self, volumes: dict[str, str]) -> None:
        """A VM that runs."""
        self.world = World(volumes)
        self.kept: dict[str, Volumes] = {}
        self.head: Volumes = {target: {} for target in volumes}
        self.parent: dict[str, str | None] = {}
        self.current: str | None = None
        #: Whose deletion was stopped half way.
        self.hidden: set[str] = set()
        self.extracted: set[str] = set()
        self.moments: list[Volumes] = []
        self.made = 0
        self.guest_writes = True

    # --- the guest -----------------------------------------------------------------------------

    @rule(
        acts=st.lists(
            st.sampled_from(["writes", "writes", "shuts_down", "crashes", "starts", "is_paused"]),
            min_size=1,
            max_size=3,
        )
    )
    def guest(self, acts: list[str]) -> None:
        """Does as it likes, and so do those who own it."""
        for act in acts:
            getattr(self, act)()

    def writes(self) -> None:
        """A line on the first volume, and a count on all."""
        if not self.guest_writes:
            return
        try:
            counter = self.world.guest.tick()
        except GuestStandsStill:
            return
        self.world.guest.write("line", counter)
        self.head = {target: content | {"counter": counter} for target, content in self.head.items()}
        self.head["vda"]["line"] = counter
        self.moments.append(self.head)

    def shuts_down(self) -> None:
        """By itself."""
        if self.world.facts().state in ALIVE:
            self.world.guest.shut_down()

    def crashes(self) -> None:
        """QEMU dies."""
        if self.world.facts().state in ALIVE:
            self.world.guest.crash()

    def starts(self) -> None:
        """Somebody starts it, or lets it go on."""
        if self.world.facts().state == VmState.PAUSED:
            self.world.guest.change(state=VmState.RUNNING, reason="unpaused")
        else:
            self.world.host.vm(self.world.guest.uuid).start()

    def is_paused(self) -> None:
        """Somebody pauses it."""
        if self.world.facts().state == VmState.RUNNING:
            self.world.guest.change(state=VmState.PAUSED, reason="user")

    # --- the jobs ------------------------------------------------------------------------------

    @rule(memory=st.booleans(), happens=happenings)
    def create(self, memory: bool, happens: Happens) -> None:
        """Of the type that fits."""
        on = self.world.facts().state in ALIVE
        name = f"s{self.made}"
        self.made += 1
        self.moments = [self.head]
        ending = self._carry(
            self.world.create(name, "cold" if not on else "memory" if memory else "hot"), happens
        )
        if ending.end is End.SUCCEEDED:
            self.kept[name] = self._moment_of(name)
            self.parent[name], self.current = self.current, name

    @precondition(lambda self: self.kept)
    @rule(data=st.data(), happens=happenings)
    def revert(self, data: st.DataObject, happens: Happens) -> None:
        """What the guest would write in the middle of a revert is given up or not: here it writes nothing.

        Nor is it started then: it would run on the snapshot's disks, whatever becomes of the job.
        """
        name = data.draw(st.sampled_from(sorted(self.kept)))
        happens = [one for one in happens if one[1] != "starts"]
        self.guest_writes = False
        ending = self._carry(self.world.revert(name), happens)
        self.guest_writes = True
        if ending.end is End.SUCCEEDED:
            self.head, self.current = self.kept[name], name

    @precondition(lambda self: self.kept or self.hidden)
    @rule(data=st.data(), happens=happenings)
    def delete(self, data: st.DataObject, happens: Happens) -> None:
        """Also one that was stopped half way, again."""
        name = data.draw(st.sampled_from(sorted({*self.kept, *self.hidden})))
        self._delete([name], happens)

    @precondition(lambda self: len({*self.kept, *self.hidden}) > 1)
    @rule(data=st.data(), happens=happenings)
    def prune(self, data: st.DataObject, happens: Happens) -> None:
        """Several together, also some that were stopped half way."""
        there = sorted({*self.kept, *self.hidden})
        names = data.draw(st.lists(st.sampled_from(there), min_size=2, unique=True))
        self._delete(names, happens)

    @precondition(lambda self: self.kept)
    @rule(data=st.data(), happens=happenings)
    def extract(self, data: st.DataObject, happens: Happens) -> None:
        """Of any volume."""
        name = data.draw(st.sampled_from(sorted(self.kept)))
        target = data.draw(st.sampled_from(sorted(self.head)))
        job = self.world.extract(name, target)
        if self._carry(job, happens).end is End.SUCCEEDED:
            path = job.outputs["sum_up"]["path"]
            assert self.world.machine.read_back(path) == self.kept[name][target]
            self.extracted |= {path, path.replace(".qcow2", ".json")}

    def teardown(self) -> None:
        """Whatever was stopped half way comes to its end when it is asked for again; then all space is given back."""
        if not hasattr(self, "world"):
            return
        for name in sorted(self.hidden):
            self._delete([name], [])
        assert not self.hidden
        self.reads_right()
        if self.kept:
            self._delete(sorted(self.kept), [])
        self.reads_right()
        self.leaves_nothing()
        assert not [path for path in self.world.files() - self.extracted if "/stillframe/" in path]

    # --- what must hold ------------------------------------------------------------------------

    @invariant()
    def reads_right(self) -> None:
        """Every snapshot and the guest read what was written, on every volume."""
        tree = self.world.tree()
        read = self.world.machine.read_back
        assert {self._name(id_) for id_ in tree.frozen} == set(self.kept)
        for name, volumes in self.kept.items():
            frozen = tree.frozen[self.world.ids[name]]
            assert {target: read(path) for target, path in frozen.items()} == volumes, name
        assert {target: read(path) for target, path in tree.heads.items()} == self.head

    @invariant()
    def grew_as_it_did(self) -> None:
        """Current and parents are those of the model."""
        tree = self.world.tree()
        assert self._name(tree.current()) == self.current
        assert {name: self._name(tree.parent(self.world.ids[name])) for name in self.kept} == self.parent

    @invariant()
    def leaves_nothing(self) -> None:
        """No job under way leaves a block job, a freeze, a mark or a file that nobody needs."""
        tree = self.world.tree()
        with self.world.machine.world() as inside:
            row = inside.vms[str(self.world.guest.uuid)]
            assert not row.jobs
            assert not row.frozen
        if self.hidden:
            return
        assert not tree.half_merged
        assert collect(tree, []) == ()
        needed = {
            path
            for layers in (tree.heads, *tree.frozen.values())
            for top in layers.values()
            for path in tree.line(top)
        }
        folders = [one.folder for one in self.world.manifests()]
        homes = [path for path in self.world.files() - self.extracted if "/stillframe/" in path]
        assert [path for path in homes if path not in needed and path.rsplit("/", 1)[0] not in folders] == []

    # --- helpers -------------------------------------------------------------------------------

    def _delete(self, names: list[str], happens: Happens) -> None:
        job = self.world.delete(*names) if len(names) == 1 else self.world.prune(*names)
        ending = self._carry(job, happens)
        ready = {self._name(one.id) for one in self.world.manifests() if one.state == "ready"}
        for name in names:
            self._is_gone(name, ending, name in ready)

    def _is_gone(self, name: str, ending: Ending, ready: bool) -> None:
        if ready:
            assert ending.end is not End.SUCCEEDED
            return
        if name in self.kept:
            above = self.parent.pop(name)
            self.parent = {one: above if other == name else other for one, other in self.parent.items()}
            self.current = above if self.current == name else self.current
            del self.kept[name]
        if ending.end is End.SUCCEEDED:
            self.hidden.discard(name)
        else:
            self.hidden.add(name)

    def _carry(self, job: Job, happens: Happens) -> Ending:
        """The job from attempt to attempt, with all that happens on the way; then its end."""
        mortality = self.world.machine.mortality
        mortality.forget()
        acts: dict[str, Callable[[], object]] = {"dies": self._dies, "cancel": job.cancel}
        for number, what in happens:
            mortality.happens[number] = acts.get(what) or getattr(self, what)
        before = self.world.facts().state
        while True:
            try:
                ending = job.run()
                break
            except Death:
                continue
        left = len(mortality.happens)
        mortality.forget()
        event(f"{job.operation.kind} {ending.end.value}")
        assert ending.end in {End.SUCCEEDED, End.CANCELLED, End.FAILED}, ending.error
        if left == len(happens):
            assert ending.end is End.SUCCEEDED, ending.error
            assert job.operation.kind == "revert_snapshot" or self.world.facts().state == before
        return ending

    @staticmethod
    def _dies() -> None:
        raise Death

    def _moment_of(self, name: str) -> Volumes:
        """What the new snapshot holds: all volumes as they were at one and the same moment of the job."""
        frozen = self.world.tree().frozen[self.world.ids[name]]
        found = {target: self.world.machine.read_back(path) for target, path in frozen.items()}
        assert found in self.moments
        return found

    def _name(self, id_: UUID | None) -> str | None:
        return next((name for name, one in self.world.ids.items() if one == id_), None)
