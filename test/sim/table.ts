/** What must hold in the tables at every moment, by SQL of the auditor's own. */
import type { StatementSync } from 'node:sqlite'
import type { Event } from '../../src/core/event.ts'
import type { Machine } from './machine.ts'

export class Broken extends Error {}

export const broken = (why: string): never => {
  throw new Broken(why)
}

export type Row = { seq: number; at: number; stream: string; type: string; actor: string; body: string }

/** `since`: monotonic ms; `life`: of which daemon. */
export type Carried = { since: number; life: number }

/** A task as the auditor sees it. */
export type Seen = {
  id: string
  kind: string
  repo: string
  lane: string
  after: string[]
  phase: 'open' | 'awaiting' | 'escalated' | 'parked' | 'split' | 'done' | 'cancelled'
  held: boolean
  token: number
  running: Map<string, Carried>
  passed: Set<string>
  candidate: { commit: string; tree: string; family: string } | null
  round: { number: number; commit: string; families: string[]; person: boolean; votes: Set<string> } | null
  verdict: string | null
  approved: string | null
  intent: { commit: string; tree: string } | null
  landed: string | null
}

/** One event, and its task as it was before; null where it is about none, or adds it. */
export type Heard = { row: Row; event: Event; task: Seen | null }

/** Hears of every event, looks after what happened (`at`: wall-clock ms; `isDue`: it is the turn of what takes long), and once more when all is over. */
export type Law = { hear(heard: Heard): void; look(at: number, isDue: boolean): void; end(): void }

export type Rules = {
  unattended: boolean
  /** What a day may cost, of it each of these repositories (by id) and families, and a task that nobody gave a budget. */
  money: {
    dayNanoUsd: number
    taskNanoUsd: number
    repositories: Readonly<Record<string, number>>
    families: Readonly<Record<string, number>>
  }
  /** How many may be under way at once. */
  caps: { repositories: Readonly<Record<string, number>>; families: Readonly<Record<string, number>> }
  /** How often daemons look at what was not said. */
  floorMs: number
  slots: Readonly<Record<string, number>>
  /** Commands of the gates that must be green on what lands. */
  gates: readonly string[]
}

/** The checks of one database's tables. */
export function stateChecks(sql: (text: string) => StatementSync, machine: Machine, { slots, caps }: Rules) {
  const unleased = sql(
    "select id from attempt where state <> 'ended' and not exists (select 1 from lease where attempt = id) limit 1",
  )
  const unended = sql(
    "select attempt from lease where not exists (select 1 from attempt where id = lease.attempt and state <> 'ended') limit 1",
  )
  const over = sql(
    'select scope from account where spent_nano_usd + held_nano_usd > limit_nano_usd + raised_nano_usd limit 1',
  )
  const leased = sql('select attempt from lease')
  let held = new Set<string>()
  let seen = ''
  const busy = sql(
    `select role, count(distinct case when role = 'reviewer' then attempt.task else attempt.id end) as n from attempt
     where state <> 'ended' and task in (select id from task where state not in ('done', 'cancelled'))
     group by role`, // what is cancelled gives its slot back at once, also while its program is dying
  )
  const landing = sql(
    `select repo from attempt join task on task.id = attempt.task
     where attempt.state <> 'ended' and attempt.step = 'land' group by repo having count(*) > 1`,
  )
  const counted = (of: string) =>
    sql(
      `select ${of} as name, count(*) as n from attempt join task on task.id = attempt.task
       where attempt.state <> 'ended' and task.state not in ('done', 'cancelled') group by 1`,
    )
  const capped = [
    { most: caps.families, under: counted('attempt.family') },
    { most: caps.repositories, under: counted('task.repo') },
  ].filter(({ most }) => Object.keys(most).length > 0)
  const openKey = sql(
    `select attempt from virtual_key where revoked_at is null
       and not exists (select 1 from lease where lease.attempt = virtual_key.attempt) limit 1`,
  )
  const bareHold = sql(
    'select attempt from hold where not exists (select 1 from lease where lease.attempt = hold.attempt) limit 1',
  )
  const lent = slots['implementer']! + slots['reviewer']! + slots['architect']!
  return {
    /** `last`: the newest event. Attempts change with events alone, so where there is none and the leases are the same, all is as it was. */
    leases(last: number) {
      const attempts = (leased.all() as { attempt: string }[]).map(({ attempt }) => attempt)
      const now = `${last} ${attempts.join(' ')}`
      if (now === seen) return
      seen = now
      held = new Set(attempts)
      const bare = unleased.get() as { id: string } | undefined
      if (bare) broken(`attempt ${bare.id} is under way without a lease`)
      const stale = unended.get() as { attempt: string } | undefined
      if (stale) broken(`attempt ${stale.attempt} has ended and holds a lease`)
      const rows = busy.all() as { role: string; n: number }[]
      const agents = rows.filter(({ role }) => role !== 'gate').reduce((sum, { n }) => sum + n, 0)
      if (agents > lent) broken(`${agents} agents are under way in ${lent} slots`)
      const gates = rows.find(({ role }) => role === 'gate')?.n ?? 0
      const most = slots['gate']! + 8 // reproductions of one round may stand beside each other
      if (gates > most) broken(`${gates} gates are under way in ${slots['gate']} slots`)
      const two = landing.get() as { repo: string } | undefined
      if (two) broken(`two landings of ${two.repo} are under way`)
      const key = openKey.get() as { attempt: string } | undefined
      if (key) broken(`the key of ${key.attempt} outlived its end`)
      const hold = bareHold.get() as { attempt: string } | undefined
      if (hold) broken(`${hold.attempt} has ended and money is held for it`)
      for (const { most, under } of capped)
        for (const { name, n } of under.all() as { name: string; n: number }[])
          if (n > (most[name] ?? Infinity)) broken(`${n} attempts of ${name} are under way, and ${most[name]} may be`)
    },
    /** Nothing lives that no row accounts for. */
    processes() {
      for (const { pid, attempt, isWritten } of machine.processes.values())
        if (isWritten && !held.has(attempt))
          broken(`process ${pid} lives, and the lease of its attempt ${attempt} was given back`)
    },
    money() {
      const full = over.get() as { scope: string } | undefined
      if (full) broken(`${full.scope} has spent and holds more than its limit`)
    },
  }
}
