"""The random drill: what may happen to a DAG, the model of it, and what is checked in between and at rest.

The model is small. What is applied, which version is active, staged and held off follow from the edits and verbs
alone; what every asset holds at rest follows from its definition and the chain; and of a generation that was seen
once with some final rows, no reader may ever see less.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

from tests.integration.versions.chain import FINALITY, MadeUpChain
from tests.integration.versions.definitions import JOBS, READ, Definition, Row
from tests.integration.versions.model import Generation, Model, as_far, difference, end_of, reached
from tests.integration.versions.parts import Parts
from tests.integration.versions.workers import Fault
from traceplane.versions import rollout

ROUNDS = 60
"""Passes in which the parts must come to rest."""
FAULTS = [Fault.NONE] * 6 + list(Fault)


class Drill:
    """Random steps over running parts, each written down in `history`."""

    def __init__(self, parts: Parts, chain: MadeUpChain, chance: random.Random) -> None:
        self.parts, self.chain, self.chance = parts, chain, chance
        self.model = Model()
        self.history: list[str] = []
        self._seen: dict[tuple[Generation, str], list[Row]] = {}
        self._left: dict[UUID, list[Any]] = {}
        self._clock = 0.0
        self._ends: list[tuple[float, dict[str, int]]] = []
        """How far each asset was for its readers, and when that was seen."""

    async def start(self) -> None:
        self.chain.grow(20)
        await self.apply(Definition())
        await self.rest()

    async def step(self) -> None:
        """Something happens."""
        steps = {
            self._grow: 2,
            self._reorg: 1,
            self._edit: 7,
            self._edit_back: 2,
            self._look: 3,
            self._work: 8,
            self._pass_loops: 3,
            self._pass_time: 2,
            self._roll_back: 3,
            self._resume: 1,
            self._approve: 2,
            self._restart: 1,
            self._wake: 2,
            self._read: 2,
        }
        (chosen,) = self.chance.choices(list(steps), list(steps.values()))
        await chosen()

    def restored(self, model: Model) -> None:
        """State is what it was at a former rest; what people wrote since is applied as before."""
        model.known |= self.model.known
        model.applied = self.model.applied
        self.model, self._left, self._seen = model, {}, {}

    # What happens.

    async def _grow(self) -> None:
        blocks = self.chance.randrange(1, 20)
        self._say(f"the chain grows by {blocks}")
        self.chain.grow(blocks)

    async def _reorg(self) -> None:
        depth = self.chance.randrange(1, FINALITY + 1)
        self._say(f"a reorg of {depth}")
        self.chain.reorg(depth)

    async def _edit(self) -> None:
        definition = self._definition(self.model.applied).edited(self.chance)
        await self.apply(replace(definition, cutover=self.chance.choice(["Auto", "Auto", "Manual"])))

    async def _edit_back(self) -> None:
        await self.apply(self._definition(self.chance.choice(sorted(self.model.known))))

    async def apply(self, definition: Definition) -> None:
        graph = self.parts.assembled(definition.manifest(self.chance))
        again = graph.spec_hash in self.model.known
        if again:  # the way of the cutover is no part of what a version is
            assert self.parts.assembled(definition.manifest()).spec_hash == graph.spec_hash
        self.model.known[graph.spec_hash] = definition, graph
        self.model.applied = graph.spec_hash
        self.model.look()
        done = await self.parts.apply(graph)
        self._say(f"applied {graph.spec_hash[:8]}: {definition}: {done.result}")
        await self._follows()

    async def _look(self) -> None:
        definition, graph = self.model.known[self.model.applied]
        before = self.model.active
        self.model.look()
        held = await self.parts.look(graph)
        if held is not None:
            self._say(f"cut over to {self.model.staged}, ready for {held:.0f} s")
            assert definition.cutover == "Auto" or self.model.approved, "nobody approved that"
            assert self.model.staged is not None
            self.model.activate(self.model.staged)
            await self._nothing_went_back(before, held)
        await self._follows()

    async def _work(self) -> None:
        for _ in range(self.chance.randrange(1, 5)):
            jobs = self.parts.queued(sources=self.chance.random() < 0.25)
            if not jobs:
                continue
            job, fault = self.chance.choice(jobs), self.chance.choice(FAULTS)
            did = await self.parts.workers.attempt(job, fault)
            self._say(
                f"an attempt of {self._name(job)} {fault}" if did else f"nothing of {self._name(job)} may run"
            )

    async def _pass_loops(self) -> None:
        loop = self.chance.choice(["outbox", "relay", "relay", "retry", "reaper"])
        self._say(f"{loop} did {await self.parts.turn(loop)}")

    async def _pass_time(self) -> None:
        seconds = self.chance.choice([1, 5, 11, 11, 61, 700])
        self._say(f"{seconds} s pass")
        self._wait(seconds)

    def _wait(self, seconds: float) -> None:
        self._clock += seconds
        self.parts.pass_time(seconds)

    async def _roll_back(self) -> None:
        earlier = self.model.order[:-1]
        if not earlier:
            return
        spec = self.chance.choice([earlier[-1], *earlier])
        number = next(
            row["number"]
            for row in self.parts.sql("SELECT number, spec_hash FROM dag_versions")
            if row["spec_hash"] == spec
        )
        name = None if spec == earlier[-1] else f"v{number}"
        self._say(f"rolled back to {spec[:8]}, by name {name}")
        await self.parts.run(rollout.roll_back, version=name)
        kept = self.model.held or self.model.staged or self.model.active
        self.model.activate(spec, held=None if kept == spec else kept)
        await self._follows()
        await self._read()

    async def _resume(self) -> None:
        if self.model.held is None:
            return
        self._say("resumed")
        await self.parts.run(rollout.resume)
        self.model.held = None
        await self._follows()

    async def _approve(self) -> None:
        if self.model.staged is None:
            return
        self._say(f"approved {self.model.staged[:8]}")
        await self.parts.run(rollout.approve, version=None)
        self.model.approved = True

    async def _restart(self) -> None:
        self._say("the dispatcher restarts")
        await self.parts.restart()

    async def _wake(self) -> None:
        if not self.parts.workers.stalled:
            return
        self._say(f"one of {len(self.parts.workers.stalled)} stalled attempts goes on")
        await self.parts.workers.wake()

    # What is checked.

    async def _follows(self) -> None:
        """The pointers of state are where the model has them."""
        facts = await self.parts.facts()
        found = (facts.active_spec_hash, facts.staged_spec_hash, facts.held_spec_hash)
        assert found == (self.model.active, self.model.staged, self.model.held), "active, staged, held"
        runs = self._running()
        self._left = {job: held for job, held in self._left.items() if job not in runs}

    async def _read(self) -> None:
        """Whatever goes on: readers find whole parts of what the active version says, never less than before."""
        ends: dict[str, int] = {}
        definition = self._definition(self.model.active)
        for asset in definition.assets:
            rows = self.parts.read(READ[asset])
            assert rows is not None, asset
            expected = definition.rows(self.chain, asset)
            if asset != "blocks":
                so_far = as_far(definition, asset, expected, rows)
                assert rows == so_far, f"{asset}: {difference(rows, so_far)}"
                self._see(asset, rows)
            ends[asset] = end_of(definition, asset, rows)
        self._ends.append((self._clock, ends))

    def _see(self, asset: str, rows: Sequence[Row]) -> None:
        (hash_,) = (hash_ for job, hash_ in self.model.generations(self.model.active) if job == JOBS[asset])
        key = (JOBS[asset], hash_), asset
        lost = set(self._seen.get(key, ())) - set(rows)
        assert not lost, f"{asset} had {sorted(lost)[:3]} before"
        self._seen[key] = list(rows)

    async def _nothing_went_back(self, before: str, held: float) -> None:
        """What was served for longer than the new version may lag by, it has as well."""
        await self._read()
        old = [ends for clock, ends in self._ends[:-1] if clock <= self._clock - 2 * held - 1]
        if not old:
            return
        new = self._definition(self.model.active)
        for asset, end in old[-1].items():
            if asset in new.assets and asset in self._definition(before).assets and asset != "blocks":
                wanted = [row for row in new.rows(self.chain, asset) if reached(new, asset, row) <= end]
                missing = set(wanted) - set(self.parts.read(READ[asset]) or ())
                assert not missing, f"{asset} was at {end}, and lacks {sorted(missing)[:3]}"

    async def rest(self) -> None:
        """Everything that is to be done gets done; then each asset is its definition, computed from scratch."""
        self._say("to rest")
        if self.chance.random() < 0.7:  # nothing that is held off or not approved stands in the way
            await self._resume()
            await self._look()
            await self._approve()
        await self.settle()
        definition = self.model.known[self.model.applied][0]
        for _ in range(4):
            if self.model.staged == self.model.applied and (definition.cutover == "Auto" or self.model.approved):
                await self._look()
                self._wait(11)
                await self.parts.turn("relay")  # whose last pass is longer ago than events may take
                await self._look()
                await self.settle()
        if definition.cutover == "Auto" and self.model.held is None:
            assert self.model.active == self.model.applied, "a version that is ready takes over"
        await self._follows()
        self._whole(self.model.active, "")
        if self.model.staged is not None:
            self._whole(self.model.staged, "@staged")
        self._nothing_is_written_elsewhere()

    def _whole(self, spec: str, suffix: str) -> None:
        definition = self._definition(spec)
        for asset, statement in READ.items():
            rows = self.parts.read(statement.replace(f"FROM {asset}", f'FROM "{asset}{suffix}"'))
            wanted = sorted(definition.rows(self.chain, asset)) if asset in definition.assets else None
            assert rows == wanted, f"{asset}{suffix} of {spec[:8]}: {difference(rows, wanted)}"
            if rows is not None and not suffix:
                final = [row for row in rows if asset != "blocks" or row[0] <= self.chain.final]
                self._see(asset, final)

    def _nothing_is_written_elsewhere(self) -> None:
        """Of generations that do not run, nothing waits, and nothing is written as long as none of them stalled."""
        runs = self._running()
        stalled = {UUID(one.claimed.task.job.id) for one in self.parts.workers.stalled}
        for job in self.parts.sql("SELECT id, name FROM jobs"):
            if job["id"] in runs:
                continue
            waiting = self.parts.sql(
                "SELECT status FROM tasks WHERE job_id = %(job)s AND finished_at IS NULL", job=job["id"]
            )
            assert not waiting, f"{job['name']} was left, and has {waiting}"
            held = self.parts.written(job["id"])
            if job["id"] not in stalled:
                # Rows that were moved to files before leave their hot table later.
                before = self._left.setdefault(job["id"], held)
                assert all(one in before for one in held), f"{job['name']} was left, and is written"

    async def settle(self) -> None:
        for _ in range(ROUNDS):
            await self._look()
            done = await self.parts.reopen() + await self.parts.turn("relay")
            for job in self.parts.queued(sources=True):
                await self.parts.workers.attempt(job)
            done += await self.parts.turn()
            for job in self.parts.queued(sources=False):
                while await self.parts.workers.attempt(job):
                    done += 1
            done += await self.parts.turn()
            if not done:
                waiting = self.parts.sql(
                    "SELECT count(*) AS n FROM tasks t JOIN jobs j ON j.id = t.job_id"
                    " WHERE t.finished_at IS NULL AND (t.status <> 'Queued' OR j.activation = 'Reactive')"
                )
                if not waiting[0]["n"]:
                    return
                self._wait(700)
        raise AssertionError("it does not come to rest")

    def _running(self) -> set[UUID]:
        """The generations that work."""
        runs = self.model.generations(self.model.active) | self.model.generations(self.model.staged)
        found = self.parts.sql("SELECT id, name, config_hash FROM jobs")
        return {row["id"] for row in found if (row["name"], row["config_hash"]) in runs}

    def _definition(self, spec: str) -> Definition:
        return self.model.known[spec][0]

    def _name(self, job: UUID) -> str:
        (row,) = self.parts.sql("SELECT name, left(config_hash, 8) AS hash FROM jobs WHERE id = %(job)s", job=job)
        return f"{row['name']} {row['hash']}"

    def _say(self, what: str) -> None:
        self.history.append(what)
