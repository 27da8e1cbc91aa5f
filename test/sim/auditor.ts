/**
 * The auditor: looks at the log and the tables after everything that happens, and knows by itself what must hold. It shares no code with what it judges:
 * its picture of a task is its own, and what agents wrote, gates saw and git did it knows from the models.
 */
import { DatabaseSync, type StatementSync } from 'node:sqlite'
import type { AttemptEnded, Event, TaskEvent } from '../../src/core/event.ts'
import type { Machine } from './machine.ts'
import { moneyLaws } from './money.ts'
import { orderLaws } from './order.ts'
import { roadLaws } from './road.ts'
import { broken, stateChecks, type Carried, type Law, type Row, type Rules, type Seen } from './table.ts'

/** What a person was told is so. */
export type Told = 'added' | 'approved' | 'held' | 'cancelled' | 'paused' | 'raised'

export type Auditor = {
  /** Looks at what is new; `sure`: also when the daemon has written nothing. Throws `Broken`. */
  look(sure?: boolean): void
  /** A person who asked when there were so many events was told that this is so. */
  acknowledged(what: Told, which: string, asked: number): void
  tasks(): readonly Seen[]
  events(): number
  /** How often a daemon noticed that it had been away. */
  resumed(): number
  /** How often a daemon said that its database could be written again. */
  recovered(): number
  /** Looks once more when all is over. */
  end(): void
  close(): void
}

/** Watches the database at `path`. */
export function auditor(path: string, machine: Machine, rules: Rules): Auditor {
  const db = new DatabaseSync(path, { readOnly: true })
  const sql = (text: string): StatementSync => db.prepare(text)
  const version = sql('pragma data_version')
  const next = sql('select seq, at, stream, type, actor, body from event where seq > ? order by seq')
  const tables = stateChecks(sql, machine, rules)
  const tasks = new Map<string, Seen>()
  const wishes = new Set<string>()
  const paused = new Set<string>()
  const told: Answered[] = []
  const facts = new Map<string, number>()
  const daemon: DaemonSeen = { lives: 0, resumed: 0, failed: 0, recovered: 0 }
  const laws: readonly Law[] = [
    moneyLaws(sql, machine, rules),
    orderLaws(sql, tasks, paused, rules),
    roadLaws(machine, rules),
  ]
  let last = 0
  let seenVersion = -1
  let seenWrites = -1
  let looks = 0
  return {
    tasks: () => [...tasks.values()],
    events: () => last,
    resumed: () => daemon.resumed,
    recovered: () => daemon.recovered,
    end: () => laws.forEach((law) => law.end()),
    close: () => db.close(),
    acknowledged(what, which, asked) {
      told.push({ fact: `${what} ${which}`, asked })
    },
    look(sure = false) {
      if (!sure && machine.writes === seenWrites) return tables.processes()
      seenWrites = machine.writes
      const now = (version.get() as { data_version: number }).data_version
      if (now === seenVersion) {
        hold(told, facts)
        return tables.processes()
      }
      seenVersion = now
      for (const row of next.all(last) as Row[]) {
        if (row.seq !== last + 1) broken(`event ${row.seq} follows event ${last}`)
        last = row.seq
        note(facts, row)
        const event = { type: row.type, ...(JSON.parse(row.body) as object) } as Event
        const task = tasks.get(row.stream.slice('task/'.length)) ?? null
        for (const law of laws) law.hear({ row, event, task })
        if (row.stream.startsWith('task/')) follow({ tasks, wishes, paused, machine, rules, daemon }, row)
        if (row.stream === 'daemon/main') followDaemon(paused, row, machine, daemon)
      }
      hold(told, facts)
      tables.leases(last)
      tables.processes()
      const isDue = looks++ % 16 === 0
      if (isDue) tables.money()
      for (const law of laws) law.look(machine.world.clock.now(), isDue)
    },
  }
}

/** What a person was told, and how many events there were when they asked. */
type Answered = { fact: string; asked: number }

const factOf: Readonly<Record<string, Told>> = {
  'task.added': 'added',
  'task.approved': 'approved',
  'task.held': 'held',
  'task.cancelled': 'cancelled',
  'work.paused': 'paused',
  'budget.raised': 'raised',
}

/** Remembers at which event something was last so. */
function note(facts: Map<string, number>, { seq, stream, type, body }: Row): void {
  const what = factOf[type]
  if (what === undefined) return
  const said = JSON.parse(body) as Record<'what' | 'name' | 'scope', string>
  const which =
    what === 'paused' ? `${said.what} ${said.name}` : what === 'raised' ? said.scope : stream.slice('task/'.length)
  facts.set(`${what} ${which}`, seq)
}

/** What a person was told is in the log, after they asked. */
function hold(told: Answered[], facts: ReadonlyMap<string, number>): void {
  for (const { fact, asked } of told.splice(0))
    if ((facts.get(fact) ?? 0) <= asked) broken(`a person was told "${fact}", and the log does not know`)
}

const fresh = (id: string, { kind, repo, lane, after }: Event & { type: 'task.added' }): Seen => ({
  id,
  kind,
  repo,
  lane,
  after,
  phase: 'open',
  held: false,
  token: 0,
  running: new Map(),
  passed: new Set(),
  candidate: null,
  round: null,
  verdict: null,
  approved: null,
  intent: null,
  landed: null,
})

/** What an attempt could not write is told when it ends. */
const longestToldMs = 2 * 3_600_000
/** What may go wrong in a loop is what the machine does to it; anything else is a defect. */
const isMachines = (error: string): boolean => /ENOSPC|disk is full|disk-full/.test(error)

/** What is seen of daemons: how many there were, and how often one noticed that it had been away. */
type DaemonSeen = { lives: number; resumed: number; failed: number; recovered: number }

function followDaemon(paused: Set<string>, { type, body }: Row, machine: Machine, daemon: DaemonSeen): void {
  if (type === 'daemon.started') daemon.lives += 1
  if (type === 'daemon.resumed') daemon.resumed += 1
  if (type === 'store.failed') daemon.failed += 1
  if (type === 'store.recovered') daemon.recovered += 1
  if (type === 'store.recovered' && daemon.failed !== daemon.recovered)
    broken('a database is said to have recovered, and not to have failed')
  if (daemon.resumed > machine.sleeps.length + machine.leaps) broken('leases were extended twice for one absence')
  if (type === 'loop.failed') {
    const { loop, error } = JSON.parse(body) as { loop: string; error: string }
    const isOver = machine.diskFullUntil + longestToldMs < machine.world.clock.mono()
    if (!isMachines(error) || (machine.isCalm && isOver)) broken(`loop ${loop} failed: ${error}`)
  }
  const { what, name } = JSON.parse(body) as { what?: string; name?: string }
  if (type === 'work.paused') paused.add(`${what} ${name}`)
  if (type === 'work.resumed') paused.delete(`${what} ${name}`)
}

type Picture = {
  tasks: Map<string, Seen>
  /** Titles of what was asked for: no two of a story's are alike. */
  wishes: Set<string>
  paused: ReadonlySet<string>
  machine: Machine
  rules: Rules
  daemon: DaemonSeen
}

function follow(picture: Picture, row: Row): void {
  const { tasks, wishes, machine, rules } = picture
  const id = row.stream.slice('task/'.length)
  const event = { type: row.type, ...(JSON.parse(row.body) as object) } as TaskEvent
  if (event.type === 'task.added') {
    if (tasks.has(id)) broken(`${id} was added twice`)
    if (row.actor.startsWith('person:') && wishes.has(event.title))
      broken(`${event.title} was asked for once and added twice`)
    wishes.add(event.title)
    return void tasks.set(id, fresh(id, event))
  }
  const task = tasks.get(id) ?? broken(`${event.type} of ${id}, which was never added`)
  if (
    (task.phase === 'done' || task.phase === 'cancelled') &&
    !/^attempt\.(ended|started)|landing\.refused/.test(event.type)
  )
    broken(`${event.type} of ${id}, which is ${task.phase}`)
  followAttempt(picture, task, event)
  followReview(task, event, machine)
  followEnd(task, event, row.actor, machine, rules)
}

function followAttempt({ tasks, paused, machine, daemon }: Picture, task: Seen, event: TaskEvent): void {
  switch (event.type) {
    case 'attempt.admitted': {
      const { attempt, token, family } = event
      if (task.phase !== 'open') broken(`${attempt} was admitted for ${task.id}, which is ${task.phase}`)
      if (task.held) broken(`${attempt} was admitted for ${task.id}, which is held`)
      if (token !== task.token + 1) broken(`${attempt} got token ${token} after ${task.token}`)
      const pause = ['all all', `lane ${task.lane}`, `repo ${task.repo}`, `family ${family}`].find((each) =>
        paused.has(each),
      )
      if (pause) broken(`${attempt} was admitted for ${task.id} while ${pause} is paused`)
      const missing = task.after.find((each) => tasks.get(each)?.phase !== 'done')
      if (missing) broken(`${attempt} was admitted for ${task.id}, which waits for ${missing}`)
      task.token = token
      task.running.set(attempt, { since: machine.world.clock.mono(), life: daemon.lives })
      return
    }
    case 'attempt.ended': {
      const carried = task.running.get(event.attempt)
      if (!carried) return broken(`the end of ${event.attempt} was accepted twice`)
      task.running.delete(event.attempt)
      judgeEnd(event, carried, machine, daemon)
      if (event.outcome === 'passed') task.passed.add(event.attempt)
      if (event.killed && event.killed.survivors > 0) broken(`${event.attempt} left survivors`)
      return
    }
    case 'candidate.taken':
    case 'gates.finished':
    case 'vote.cast':
    case 'advice.given':
    case 'task.planned':
      if (!task.passed.has(event.attempt)) broken(`${event.type} by ${event.attempt}, which has not passed`)
      return
    case 'task.held':
      task.held = true
      return
    case 'task.released':
      task.held = false
      return
    case 'task.prioritized':
      task.lane = event.lane ?? task.lane
      return
    default:
  }
}

/** So long is nobody silent too long, whatever the size of its task. */
const leastSilenceMs = 5 * 60_000
/** So long after a fault has passed may a lease still run out for it. */
const afterpainsMs = 10 * 60_000

/** Nobody is lost whose beats could be written, and nobody is called silent for the time in which the machine slept. */
function judgeEnd(event: AttemptEnded, { since, life }: Carried, machine: Machine, { lives }: DaemonSeen): void {
  const { attempt, outcome, reason } = event
  const now = machine.world.clock.mono()
  const faulty = machine.beatsLostUntil + afterpainsMs > now || machine.frozen.has(attempt)
  if (outcome === 'lost' && /worker died/.test(reason) && life === lives && !faulty)
    broken(`${attempt} was lost, and nothing had kept it from beating`)
  const slept = machine.sleeps.filter(({ at }) => at >= since).reduce((sum, { ms }) => sum + ms, 0)
  if ((outcome === 'stalled' || outcome === 'timed-out') && now - since - slept < leastSilenceMs)
    broken(`${attempt} is called ${outcome} after ${Math.round((now - since - slept) / 1000)} s`)
}

function followReview(task: Seen, event: TaskEvent, machine: Machine): void {
  switch (event.type) {
    case 'candidate.taken': {
      const { commit, tree, family } = event
      const author = machine.authors.get(commit)
      if (task.kind !== 'review' && author !== family)
        broken(`${commit} is said to be by ${family}, and ${author ?? 'nobody'} wrote it`)
      task.candidate = { commit, tree, family }
      task.round = null
      task.verdict = null
      task.approved = null
      return
    }
    case 'round.opened': {
      if (event.commit !== task.candidate?.commit) broken(`round ${event.round} of ${task.id} judges another commit`)
      if (event.policy.families.includes(event.author)) broken(`${event.author} is asked to review its own work`)
      if (event.policy.families.length < 2 && !event.policy.person)
        broken(`round ${event.round} of ${task.id} asks for fewer than two others and no person`)
      const { families, person } = event.policy
      task.round = { number: event.round, commit: event.commit, families, person, votes: new Set() }
      return
    }
    case 'vote.cast': {
      const { round, candidate } = task
      if (!round || round.number !== event.round || event.commit !== round.commit)
        return broken(`a vote of ${event.family} outlived its commit`)
      if (event.family === candidate?.family) broken(`${event.family} voted on its own work`)
      if (round.votes.has(event.family)) broken(`${event.family} voted twice`)
      if (!machine.reviewed.has(`${event.family} ${machine.git.treeOf(event.commit)}`))
        broken(`${event.family} voted on ${event.commit} and never saw it`)
      round.votes.add(event.family)
      return
    }
    case 'verdict.reached': {
      const { round } = task
      const owed = round?.families.filter((family) => !round.votes.has(family)) ?? ['nobody']
      if (event.verdict === 'approved' && owed.length > 0) broken(`${task.id} was approved without ${owed.join(', ')}`)
      task.verdict = event.verdict
      if (event.verdict === 'approved') task.phase = 'awaiting'
      return
    }
    default:
  }
}

function followEnd(task: Seen, event: TaskEvent, actor: string, machine: Machine, rules: Rules): void {
  switch (event.type) {
    case 'task.approved': {
      if (task.verdict !== 'approved' || event.commit !== task.candidate?.commit)
        broken(`${task.id} was approved by ${event.by} without a verdict on that commit`)
      if (event.by !== actor && event.by !== 'unattended') broken(`${actor} approved as ${event.by}`)
      if (event.by === 'unattended' && (!rules.unattended || task.round?.person))
        broken(`${task.id} was approved without the person it needs`)
      task.approved = event.commit
      task.phase = 'open'
      return
    }
    case 'task.rejected':
    case 'task.returned':
    case 'task.retried':
      task.phase = 'open'
      if (event.type !== 'task.retried') task.approved = null
      return
    case 'task.escalated':
      judgeEscalation(task, event.why, machine)
      task.phase = 'escalated'
      return
    case 'task.parked':
      task.phase = 'parked'
      return
    case 'task.resumed':
      if (task.phase === 'parked') task.phase = 'open'
      return
    case 'task.split':
      task.phase = 'split'
      return
    case 'task.joined':
    case 'task.reported':
      task.phase = 'done'
      return
    case 'task.cancelled':
      if (task.intent) broken(`${task.id} was cancelled while it landed`)
      task.phase = 'cancelled'
      return
    case 'landing.intended':
      if (task.approved === null || task.approved !== task.candidate?.commit)
        broken(`${task.id} is about to land without approval`)
      if (task.intent) broken(`${task.id} is about to land twice at once`)
      task.intent = event
      return
    case 'landing.refused':
      if (machine.landings.some(({ commit }) => commit === task.intent?.commit))
        broken(`${task.id} has landed, and the log says that it has not`)
      task.intent = null
      return
    case 'task.landed':
      return landed(task, event, machine, rules)
    default:
  }
}

/** So long into a blackout may it take until families are known to be out of reach. */
const noticeMs = 10 * 60_000

/** Whoever could not reach a provider because there was no network waits for it: that is no failure, and nobody's decision. */
function judgeEscalation({ id }: Seen, why: string, { dark, world }: Machine): void {
  const now = world.clock.mono()
  if (now > dark.since + noticeMs && now < dark.until && /unreachable|rate-limited/.test(why))
    broken(`${id} was escalated while there was no network: ${why}`)
}

function landed(task: Seen, event: TaskEvent & { type: 'task.landed' }, machine: Machine, rules: Rules): void {
  const { commit, tree } = event
  if (task.landed) broken(`${task.id} landed twice`)
  if (task.intent?.commit !== commit) broken(`${task.id} landed ${commit} without having said so before`)
  if (machine.git.treeOf(commit) !== tree) broken(`${commit} is not the tree that was tested`)
  for (const gate of rules.gates)
    if (!machine.green.has(`${gate} ${tree}`)) broken(`${task.id} landed a tree on which ${gate} never was green`)
  if (!machine.landings.some((each) => each.commit === commit)) broken(`${task.id} is said to have landed and did not`)
  task.landed = commit
  task.intent = null
  task.phase = 'done'
}
