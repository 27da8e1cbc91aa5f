/** The safety and liveness laws of a task's way, over lives in which everything that can go wrong does. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { seededRandom } from '../../sim/world.ts'
import { endOne, letIn, liveOn, move, startLife, type Life } from './fixture.ts'
import { wantedSteps } from './wanted-step.ts'
import { isOver, type Task } from './task.ts'

const lives = { seed: 2026, numRuns: 800 }
const chance = fc.record({ seed: fc.integer(), moves: fc.integer({ min: 1, max: 250 }) })

/** Leads lives and shows each event to `seen`. */
const inEveryLife = (seen: Life['seen'], policy = {}) =>
  fc.assert(
    fc.property(chance, ({ seed, moves }) => {
      const life = startLife({ random: seededRandom(seed), seen, policy })
      for (let n = 0; n < moves; n++) move(life)
    }),
    lives,
  )

const others = ({ round }: Task): string[] => [...new Set(round!.votes.map(({ family }) => family))]

test('nothing is approved but by as many other families as the policy says, on that very commit, or by a person', () => {
  let byPolicy = 0
  inEveryLife((before, event) => {
    if (event.type === 'verdict.reached' && event.verdict === 'approved') {
      const { round, candidate } = before!
      assert.ok(round!.policy.families.every((family) => others(before!).includes(family)))
      assert.ok(round!.policy.person || others(before!).length >= 2, 'fewer than two others and no person')
      assert.ok(!others(before!).includes(candidate!.family), 'nobody reviews their own work')
      assert.deepEqual([event.commit, round!.commit], [candidate!.commit, candidate!.commit])
      const states = round!.findings.map(({ state }) => state)
      assert.ok(!states.includes('confirmed'))
      if (!round!.policy.person) assert.ok(states.every((state) => state === 'dismissed' || state === 'noted'))
    }
    if (event.type === 'task.approved') {
      assert.equal(before!.phase, 'awaiting-approval')
      assert.deepEqual([event.commit, before!.round!.verdict], [before!.candidate!.commit, 'approved'])
      if (event.by === 'unattended') {
        byPolicy += 1
        assert.equal(before!.round!.policy.person, false)
      } else assert.match(event.by, /^person:/)
    }
  })
  assert.ok(byPolicy > 50, `only ${byPolicy} approvals without a person: the law was hardly tried`)
})

test('a refusal, an error, a time-out or an unreadable answer is never a vote, a check or an approval', () => {
  const ends = new Set<string>()
  inEveryLife((_, event, __, { by, events }) => {
    if (by !== 'ending' || event.type !== 'attempt.ended' || event.outcome === 'passed') return
    ends.add(event.outcome)
    const favourable = events.filter(
      (each) =>
        ['vote.cast', 'advice.given', 'finding.checked', 'candidate.taken', 'task.approved', 'task.landed'].includes(
          each.type,
        ) ||
        (each.type === 'verdict.reached' && each.verdict === 'approved'),
    )
    assert.deepEqual(favourable, [])
  })
  assert.equal(ends.size, 12)
})

test('a vote, a check and an approval never outlive their commit, and never come from who wrote it', () => {
  inEveryLife((before, event, { round, candidate, approval }) => {
    if (event.type === 'advice.given')
      assert.deepEqual([event.family, null], [before!.round!.policy.advisory, before!.round!.advice])
    if (approval) assert.equal(approval.commit, candidate!.commit)
    if (!round) return
    assert.equal(round.commit, candidate!.commit)
    assert.equal(round.author, candidate!.family)
    assert.ok(round.votes.every((vote) => vote.commit === round.commit && vote.family !== round.author))
    assert.equal(new Set(round.votes.map(({ family }) => family)).size, round.votes.length)
    for (const { by, checks } of round.findings) {
      assert.ok(checks.every((check) => check.by !== round.author && check.by !== by))
      assert.equal(new Set(checks.map((check) => check.by)).size, checks.length)
    }
  })
})

test('a task lands at most once, what was approved, and never after it was cancelled', () => {
  let landings = 0
  inEveryLife((before, event, after, { task }, life) => {
    if (after.intent) assert.ok(after.running.some(({ attempt }) => attempt === after.intent!.attempt))
    if (event.type !== 'task.landed' && event.type !== 'landing.intended') return
    assert.equal(before!.phase, 'open')
    assert.equal(before!.step, 'land')
    assert.equal(before!.approval!.commit, before!.candidate!.commit)
    assert.equal(before!.round!.verdict, 'approved')
    if (event.type !== 'task.landed') return
    landings += 1
    assert.equal(
      life.log.flatMap((each) => (each.task === task ? each.events : [])).filter((each) => each === event).length,
      1,
    )
    assert.equal(after.phase, 'done')
  })
  assert.ok(landings > 100, `only ${landings} landings`)
})

test('what is over stays over: of a done or cancelled task nothing follows but the ends of what was under way', () => {
  inEveryLife((before, event, after) => {
    if (!before || !isOver(before)) return
    assert.ok(['attempt.ended', 'attempt.started'].includes(event.type), event.type)
    assert.deepEqual([after.phase, after.landed, after.approval], [before.phase, before.landed, before.approval])
  })
})

test('nothing is wanted while a person is asked, and nothing when all is over', () => {
  inEveryLife((_, __, after) => {
    if (after.phase !== 'open') assert.deepEqual(wantedSteps(after), [])
  })
})

test('a fencing token is never given twice: each attempt has the next one', () => {
  inEveryLife((before, event) => {
    if (event.type === 'attempt.admitted') assert.equal(event.token, before!.token + 1)
  })
})

test('a round is never numbered like an earlier one of its task', () => {
  inEveryLife((_, event, __, entry, { log }) => {
    if (event.type !== 'round.opened') return
    const same = log
      .filter(({ task }) => task === entry.task)
      .flatMap(({ events }) => events)
      .filter((each) => each.type === 'round.opened' && each.round === event.round)
    assert.deepEqual(same, [event])
  })
})

test('work is sent back a bounded number of times before a person decides', () => {
  inEveryLife((before, event, __, { by }, { policy }) => {
    if (event.type === 'task.returned' && by === 'ending') assert.ok(before!.returns < policy.rounds)
  })
})

test('without a person nothing goes on for ever: each task ends, or asks one', () => {
  fc.assert(
    fc.property(fc.integer(), (seed) => {
      const life = startLife({ random: seededRandom(seed), policy: { unattended: true } })
      for (let passes = 0; passes < 2000 && stirs(life); passes++) {
        life.at += 3_600_000
        letIn(life)
        endOne(life)
      }
      assert.ok(!stirs(life), 'still going on')
    }),
    lives,
  )
})

/** Something may still happen by itself: it does not wait for one that is stuck. */
const stirs = ({ tasks }: Life): boolean =>
  [...tasks.values()].some(
    (task) =>
      task.running.length > 0 ||
      (wantedSteps(task).length > 0 && task.after.every((id) => tasks.get(id)!.phase === 'done')),
  )

test('once nothing goes wrong any more and a person answers, every task comes to its end', () => {
  fc.assert(
    fc.property(chance, ({ seed, moves }) => {
      const life = startLife({ random: seededRandom(seed) })
      for (let n = 0; n < moves; n++) move(life)
      assert.ok(
        liveOn(life, 60),
        JSON.stringify(
          [...life.tasks.values()].filter((task) => !isOver(task)),
          null,
          1,
        ),
      )
    }),
    lives,
  )
})

test('what reached a limit is parked with its work, never failed for it, and goes on only when it is resumed', () => {
  let [parked, resumed] = [0, 0]
  inEveryLife((before, event, after) => {
    if (event.type === 'task.parked') {
      parked += 1
      assert.equal(after.phase, 'parked')
      assert.deepEqual(after.failures, before!.failures)
      assert.deepEqual(
        after.archive,
        event.archive ?? before!.archive,
        'an older archive outlives a stop that kept nothing',
      )
      assert.deepEqual(wantedSteps(after), [])
    }
    if (event.type === 'attempt.admitted') assert.notEqual(before!.phase, 'parked')
    if (event.type === 'task.resumed' && before!.phase === 'parked') {
      resumed += 1
      assert.deepEqual([after.phase, after.step, after.parked], ['open', before!.step, null])
    }
    if (event.type === 'candidate.taken' || event.type === 'task.cancelled') assert.equal(after.archive, null)
    if (after.phase !== 'parked') assert.equal(after.parked, null)
  })
  assert.ok(parked > 40 && resumed > 30, `${parked} parked, ${resumed} resumed`)
})
