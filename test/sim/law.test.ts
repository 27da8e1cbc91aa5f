/** That each law of the auditor can be broken: a short history of what must not happen breaks it, and the same without the fault does not. */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { after, test } from 'node:test'
import { added, ended } from '../../src/core/fixture.ts'
import type { Event } from '../../src/core/event.ts'
import type { Role, Step } from '../../src/core/task.ts'
import { append } from '../../src/store/append.ts'
import { openDatabase } from '../../src/store/database.ts'
import { offerLease, releaseLease } from '../../src/store/lease.ts'
import { virtualWorld } from '../../sim/world.ts'
import { auditor } from './auditor.ts'
import { modelGit } from './git.ts'
import { newMachine, type Machine } from './machine.ts'
import { Broken, type Rules } from './table.ts'

const root = mkdtempSync(join(tmpdir(), 'tri-agent-laws-'))
after(() => rmSync(root, { recursive: true, force: true }))

const second = 1000
const minute = 60 * second
const hour = 60 * minute
const usd = 1_000_000_000
const rules: Rules = {
  unattended: true,
  slots: { implementer: 2, reviewer: 2, architect: 1, gate: 2 },
  gates: [],
  floorMs: 0,
  money: { dayNanoUsd: 10 * usd, taskNanoUsd: 5 * usd, repositories: { repo_1: usd }, families: { openai: 2 * usd } },
  caps: { repositories: {}, families: { google: 1 } },
}

/** One thing that happens: an event, SQL, time that passes, or what is done to the machine. */
type Deed =
  | Event
  | { by: string; event: Event }
  | { sql: string }
  | { ms: number }
  | { machine: (machine: Machine) => void }

/** Tells a history and what the auditor says of it; null where it finds nothing wrong. */
async function judge(...deeds: Deed[]): Promise<string | null> {
  const path = join(mkdtempSync(join(root, 'history-')), 'tasks.db')
  const world = virtualWorld()
  const machine = newMachine(world, 1, modelGit())
  machine.gateway = { ask: () => Promise.reject(new Error('nobody asks')), drop: () => {} }
  const database = openDatabase(path)
  const raw = new DatabaseSync(path)
  const audit = auditor(path, machine, rules)
  const leases = new Map<string, { attempt: string; task: string; token: number; epoch: number }>()
  const say = (event: Event, actor: string) =>
    database.write(async (tx) => {
      await append(tx, { at: world.clock.now(), actor, stream: streamOf(event), events: [event] })
      if (event.type === 'attempt.admitted') {
        const lease = { attempt: event.attempt, task: taskOf(event.attempt), token: event.token, epoch: 1 }
        leases.set(event.attempt, lease)
        await offerLease(tx, lease, 0, hour)
      }
      if (event.type === 'attempt.ended') await releaseLease(tx, leases.get(event.attempt)!)
    })
  try {
    for (const deed of deeds) {
      if ('ms' in deed) await world.advance(deed.ms)
      else if ('machine' in deed) deed.machine(machine)
      else if ('sql' in deed) raw.exec(deed.sql)
      else if ('by' in deed && 'event' in deed) await say(deed.event, deed.by)
      else await say(deed, 'daemon')
      machine.writes += 1
      audit.look()
    }
    audit.end()
    return null
  } catch (error) {
    if (error instanceof Broken) return error.message
    throw error
  } finally {
    raw.close()
    audit.close()
    database.close()
  }
}

/** `a1`: the first attempt of task `a`. */
const taskOf = (attempt: string): string => attempt.slice(0, 1)
function streamOf(event: Event): string {
  if (event.type.startsWith('work.')) return 'daemon/main'
  if (/^(breaker|budget)\./.test(event.type)) return 'budget/main'
  return `task/${'task' in event ? event.task : 'attempt' in event ? taskOf(event.attempt) : 'a'}`
}

const add = (id: string, more: Parameters<typeof added>[1] = {}): Event => added(id, { title: id, ...more })
const admit = (
  attempt: string,
  step: Step = 'implement',
  role: Role = 'implementer',
  family: string | null = 'openai',
): Event => ({
  type: 'attempt.admitted',
  attempt,
  token: Number(attempt.slice(1)),
  step,
  role,
  family,
  agent: family && 'scripted',
  model: family && 'a-model',
  finding: null,
  because: null,
})
const end = (attempt: string, outcome: Parameters<typeof ended>[1] = 'crashed'): Event => ended(attempt, outcome)
const person = (event: Event): Deed => ({ by: 'person:ada', event })
const returned: Event = { type: 'task.returned', from: 'verify', feedback: 'red', rebase: false }
const pause = (now: boolean): Event => ({ type: 'work.paused', what: 'repo', name: 'repo_1', why: '', now })
const charge = (nanoUsd: number, hold = 1, account = nanoUsd): Deed => ({
  sql: `insert into charge (hold, attempt, task, repo, stage, family, model, input, cached_input, cache_write, output, nano_usd, how, at, day)
        values (${hold}, 'a1', 'a', 'repo_1', 'implement', 'openai', 'a-model', 0, 0, 0, 0, ${nanoUsd}, 'exact', 0, '2026-01-01');
        ${[
          'total',
          'day/2026-01-01',
          'day/2026-01-01/repo/repo_1',
          'day/2026-01-01/family/openai',
          'task/a',
          'attempt/a1',
        ]
          .map(
            (scope) => `insert into account (scope, spent_nano_usd) values ('${scope}', ${account})
                        on conflict (scope) do update set spent_nano_usd = spent_nano_usd + ${account};`,
          )
          .join('\n')}`,
})
const key = (attempt: string): Deed => ({
  sql: `insert into virtual_key (hash, attempt, task, repo, stage, family, models, scope, granted_at)
        values ('${'0'.repeat(64)}', '${attempt}', 'a', 'repo_1', 'implement', 'openai', '[]', 'task/a', 0)`,
})
const revoke: Deed = { sql: 'update virtual_key set revoked_at = 1' }
const hold: Deed = {
  sql: `insert into hold (attempt, task, repo, stage, family, model, scopes, input_nano_usd, output_nano_usd, tokens, at, day)
        values ('a1', 'a', 'repo_1', 'implement', 'openai', 'a-model', '[]', 0, 0, '{}', 0, '2026-01-01')`,
}
const bill = (madeNanoUsd: number, mostNanoUsd: number): Deed => ({
  machine: ({ bills }) => void bills.set(1, { madeNanoUsd, mostNanoUsd }),
})
const parked = (until: number | null): Event => ({
  type: 'task.parked',
  attempt: 'a1',
  scope: 'day/2026-01-01',
  why: '',
  until,
  archive: null,
})
const midnight = 1_767_225_600_000 + 24 * hour
const resumed: Event = { type: 'task.resumed', why: 'a new day' }
const tries = (many: number): Deed[] =>
  Array.from({ length: many }, (_, n) => [admit(`a${n + 1}`), end(`a${n + 1}`)]).flat()
const first: Event = { type: 'task.prioritized', lane: null, override: true }
const opened = (round: number): Event => ({
  type: 'round.opened',
  round,
  commit: 'c',
  base: 'b',
  author: 'openai',
  policy: { families: ['anthropic', 'google'], person: false, advisory: null, checkers: [], why: '' },
})
const intended: Event = {
  type: 'landing.intended',
  attempt: 'a1',
  commit: 'c',
  tree: 't',
  parent: null,
  target: 'main',
}
const delayed: Event = { type: 'task.delayed', until: 1_767_225_600_000 + minute, why: '' }
const tripped: Event = { type: 'breaker.tripped', why: '', committedNanoUsd: 0, heldNanoUsd: 0 }
const raised: Event = { type: 'budget.raised', scope: 'day/2026-01-01/repo/repo_1', byNanoUsd: usd, by: 'person:ada' }
const other = { repo: 'repo_2' }

const firstRound: Deed[] = [
  add('a'),
  { machine: ({ authors }) => void authors.set('c', 'openai') },
  admit('a1'),
  end('a1', 'passed'),
  taken('a1'),
  opened(1),
]

/** What breaks which law, and what of the same kind does not. */
const laws: Record<string, { says: RegExp; wrong: Deed[]; right: Deed[] }> = {
  'what was put off waits for its time': {
    says: /before its time/,
    wrong: [add('a'), admit('a1'), end('a1'), delayed, { ms: 59 * second }, admit('a2')],
    right: [add('a'), admit('a1'), end('a1'), delayed, { ms: 61 * second }, admit('a2')],
  },
  'nothing is tried for ever': {
    says: /tries to implement once more/,
    wrong: [add('a'), ...tries(3), admit('a4')],
    right: [add('a'), ...tries(2), admit('a3')],
  },
  'nothing is sent back for ever': {
    says: /sent back 4 times/,
    wrong: [add('a'), returned, returned, returned, returned],
    right: [add('a'), returned, returned, returned],
  },
  'what stopped is tried again by a person alone': {
    says: /tried again by daemon/,
    wrong: [add('a'), { type: 'task.escalated', why: '', evidence: '' }, { type: 'task.retried', step: 'implement' }],
    right: [
      add('a'),
      { type: 'task.escalated', why: '', evidence: '' },
      person({ type: 'task.retried', step: 'implement' }),
    ],
  },
  'who is parked at a day waits for the next one': {
    says: /went on by itself before its time/,
    wrong: [add('a'), admit('a1'), end('a1', 'over-budget'), parked(midnight), resumed],
    right: [add('a'), admit('a1'), end('a1', 'over-budget'), parked(midnight), { ms: 24 * hour }, resumed],
  },
  'who is parked at a day is not so for ever': {
    says: /not until the next day/,
    wrong: [add('a'), admit('a1'), end('a1', 'over-budget'), parked(null)],
    right: [add('a'), admit('a1'), end('a1', 'over-budget'), parked(midnight), person(resumed)],
  },
  'a tripped breaker lets nothing in': {
    says: /while the breaker was tripped/,
    wrong: [add('a'), tripped, admit('a1')],
    right: [add('a'), tripped, { type: 'breaker.closed', trippedAt: 0 }, admit('a1')],
  },
  'a daemon that ends lets nothing in': {
    says: /by a daemon that ends/,
    wrong: [add('a'), { machine: (machine) => (machine.isDraining = true) }, admit('a1')],
    right: [add('a'), admit('a1'), { machine: (machine) => (machine.isDraining = true) }],
  },
  'nothing starts without memory': {
    says: /without memory/,
    wrong: [add('a'), { machine: ({ memoryShort }) => (memoryShort.until = hour) }, { ms: 2 * minute }, admit('a1')],
    right: [add('a'), { machine: ({ memoryShort }) => (memoryShort.until = minute) }, { ms: 2 * minute }, admit('a1')],
  },
  'rounds are numbered once': {
    says: /round 1 of a comes after round 1/,
    wrong: [...firstRound, opened(1)],
    right: [...firstRound, opened(2)],
  },
  'what a person stops at once does not land': {
    says: /a person has stopped it/,
    wrong: [add('a'), person(pause(true)), intended],
    right: [add('a'), person(pause(true)), person({ type: 'work.resumed', what: 'repo', name: 'repo_1' })],
  },
  'what a person stops at once ends': {
    says: /goes on 108 s after a person stopped it/,
    wrong: [{ ms: hour }, add('a'), admit('a1'), person(pause(true)), { ms: 108 * second }, person(add('b'))],
    right: [{ ms: hour }, add('a'), admit('a1'), person(pause(false)), { ms: 108 * second }, person(add('b'))],
  },
  'what a person stops at once does not count': {
    says: /passed 19 s after a person stopped it/,
    wrong: [{ ms: hour }, add('a'), admit('a1'), person(pause(true)), { ms: 19 * second }, end('a1', 'passed')],
    right: [{ ms: hour }, add('a'), admit('a1'), person(pause(true)), { ms: 19 * second }, end('a1', 'killed')],
  },
  'what is cancelled ends': {
    says: /goes on 108 s after a person stopped it/,
    wrong: [
      { ms: hour },
      add('a'),
      admit('a1'),
      person({ type: 'task.cancelled', why: '' }),
      { ms: 108 * second },
      person(add('b')),
    ],
    right: [add('a'), admit('a1'), person({ type: 'task.cancelled', why: '' }), { ms: minute }, end('a1', 'killed')],
  },
  'who was put first goes first': {
    says: /before b, which goes first/,
    wrong: [add('a'), add('b'), person({ ...first, task: 'b' } as Event), admit('a1')],
    right: [add('a'), add('b'), person({ ...first, task: 'b' } as Event), admit('b1'), admit('a1')],
  },
  'nobody starves': {
    says: /before a, which has waited longer than its lane/,
    wrong: [add('a', { lane: 'background' }), { ms: 50 * minute }, add('b'), admit('b1')],
    right: [add('a', { lane: 'background' }), { ms: 14 * minute }, add('b'), admit('b1')],
  },
  'nothing of a repository starts when its day is used up': {
    says: /repo\/repo_1 had spent/,
    wrong: [add('a'), charge(0.9 * usd), admit('a1')],
    right: [add('a'), charge(0.9 * usd), person(raised), admit('a1')],
  },
  'nothing of a family starts when its day is used up': {
    says: /family\/openai had spent/,
    wrong: [add('a', other), person(raised), charge(1.9 * usd), admit('a1')],
    right: [add('a', other), person(raised), charge(1.9 * usd), admit('a1', 'implement', 'implementer', 'anthropic')],
  },
  'no part of a day costs more than its limit': {
    says: /repo\/repo_1 has spent 1100000000/,
    wrong: [add('a'), charge(1.1 * usd)],
    right: [add('a'), person(raised), charge(1.1 * usd)],
  },
  'accounts are the sums of their charges': {
    says: /has spent 200, and its charges are 100/,
    wrong: [add('a'), charge(100, 1, 200)],
    right: [add('a'), charge(100, 1), charge(100, 2)],
  },
  'what was made is charged': {
    says: /100 were made for a1, 99 charged/,
    wrong: [add('a'), bill(100, 200), charge(99)],
    right: [add('a'), bill(100, 200), charge(100)],
  },
  'no more is charged than was held': {
    says: /200 were held for a1, 201 charged/,
    wrong: [add('a'), bill(100, 200), charge(201)],
    right: [add('a'), bill(100, 200), charge(200)],
  },
  'what was made is not forgotten': {
    says: /100 were made on hold 1, and nothing was charged/,
    wrong: [add('a'), bill(100, 200)],
    right: [add('a'), bill(0, 200)],
  },
  'a key dies with its attempt': {
    says: /the key of a1 outlived its end/,
    wrong: [add('a'), admit('a1'), key('a1'), end('a1')],
    right: [add('a'), admit('a1'), key('a1'), revoke, end('a1')],
  },
  'no money is held for what has ended': {
    says: /a1 has ended and money is held for it/,
    wrong: [add('a'), admit('a1'), hold, end('a1')],
    right: [add('a'), admit('a1'), hold, { sql: 'delete from hold' }, end('a1')],
  },
  'no more is under way than may be': {
    says: /2 attempts of google are under way, and 1 may be/,
    wrong: [
      add('a'),
      add('b'),
      admit('a1', 'implement', 'implementer', 'google'),
      admit('b1', 'implement', 'implementer', 'google'),
    ],
    right: [add('a'), add('b'), admit('a1', 'implement', 'implementer', 'google'), admit('b1')],
  },
}

function taken(attempt: string): Event {
  const files = { files: [], added: 0, removed: 0, message: '' }
  return { type: 'candidate.taken', attempt, commit: 'c', tree: 't', base: 'b', family: 'openai', model: 'm', ...files }
}

for (const [name, { says, wrong, right }] of Object.entries(laws))
  test(`${name}, or the auditor says so`, async () => {
    assert.match((await judge(...wrong)) ?? 'nothing is wrong', says)
    assert.equal(await judge(...right), null)
  })
