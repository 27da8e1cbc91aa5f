/**
 * What already happened although the restored log does not know it: every landing since the backup stands in git, and every work handed in since lies in
 * quarantine; both are recorded before anything starts, so that nothing lands twice and nothing is paid for twice. Where the log left behind can be
 * believed, what led there is taken over from it, event by event; else the landing's own trailers are all there is, and of a work nobody knows who
 * wrote it: its task is held. It moves no ref and starts nothing.
 */
import type { Event, LoggedEvent, TaskEvent } from '../core/event.ts'
import { isRefusal } from '../core/refusal.ts'
import { isOver, type Task } from '../core/task.ts'
import { readAnchor, readTrailers, type LogAnchor } from '../core/trailer.ts'
import type { Git } from '../git/git.ts'
import type { Database, Tx } from '../store/database.ts'
import { storyOf, streamOf } from '../store/log.ts'
import { append } from '../store/append.ts'
import { leasedAttempts } from '../store/lease.ts'
import { landingsOf, listRepos, loadTask, openTaskIds, openTasksOf, tasksOfRoot, type RepoRow } from '../store/task.ts'
import { storesOf } from './repository.ts'

export type FoundLanding = {
  task: string
  repo: string
  commit: string
  tree: string
  target: string
  title: string
  anchor: LogAnchor | null
}

type Asked = {
  git: Git
  repos: string
  branch: string
  staged: Database
  left: Database | null
  keys: ReadonlySet<string>
}

/** A work in quarantine, by the name it is kept under. */
export type FoundWork = { task: string; repo: string; token: number }

type InGit = { found: FoundLanding[]; works: FoundWork[]; unasked: RepoRow[] }

/**
 * Every landing in the histories of the repositories that either log knows, oldest first; the works in their quarantines; and the repositories that could
 * not be asked.
 */
export async function findInGit(asked: Asked): Promise<InGit> {
  const { git, repos, branch, staged, left } = asked
  const found: FoundLanding[] = []
  const works: FoundWork[] = []
  const unasked: RepoRow[] = []
  for (const row of await knownRepos(staged, left)) {
    const stores = storesOf(repos, row)
    for (const name of await git.listCandidates(stores)) {
      const [task, token] = name.split('/')
      works.push({ task: task!, repo: row.id, token: Number(token) })
    }
    const rows = [await staged.read((reader) => landingsOf(reader, row.id))]
    if (left) rows.push(await left.read((reader) => landingsOf(reader, row.id)))
    for (const target of new Set([branch, ...rows.flat().map((each) => each.target)])) {
      const tips = await git.refresh(stores, row.base, target)
      if (isRefusal(tips)) {
        unasked.push(row)
        break
      }
      const histories = [await git.history(stores, target, null), await git.history(stores, row.base, null)] // a target may have been merged and removed
      for (const { commit, tree, message } of histories.flat().toReversed()) {
        const landing = landingOf(message, tree)
        if (!landing || found.some((each) => each.commit === commit)) continue
        found.push({ ...landing, repo: row.id, commit, tree, target })
      }
    }
  }
  return { found, works, unasked }
}

/** A commit is a landing of ours when its own trailers say so about its own tree. */
function landingOf(message: string, tree: string): Pick<FoundLanding, 'task' | 'title' | 'anchor'> | null {
  const trailers = readTrailers(message)
  const task = trailers['Task']?.[0]
  if (task === undefined || !/^task_[0-9a-z]+$/.test(task) || trailers['Tested-Tree']?.[0] !== tree) return null
  return { task, title: message.split('\n')[0]!, anchor: readAnchor(trailers) }
}

async function knownRepos(staged: Database, left: Database | null): Promise<RepoRow[]> {
  const rows = [...(await staged.read(listRepos)), ...((await left?.read(listRepos)) ?? [])]
  return rows.filter(({ id }, index) => rows.findIndex((each) => each.id === id) === index)
}

export type Recorded = { task: string; repo: string; commit: string; told: 'log' | 'git' }
export type HandedIn = FoundWork & { told: 'log' | 'git' }

/** What is to be recorded, decided before anything is written. */
export type Reconciliation = {
  recorded: Recorded[]
  handedIn: HandedIn[]
  taken: LoggedEvent[]
  own: { landing: FoundLanding; known: boolean }[]
}

/** Compares what git has with what the staged log knows. A landing of another account's log is none of ours. */
export async function compareWithGit(asked: Asked, { found, works }: InGit): Promise<Reconciliation> {
  const { staged, left, keys } = asked
  const recorded: Recorded[] = []
  const own: Reconciliation['own'] = []
  const taken = new Map<string, LoggedEvent[]>()
  for (const landing of found) {
    const { task: id, repo, commit } = landing
    const task = await staged.read((reader) => loadTask(reader, id))
    if (task?.landed || (task === null && !keys.has(landing.anchor?.key ?? ''))) continue
    const there = await left?.read((reader) => loadTask(reader, id))
    const told = left !== null && there?.landed?.commit === commit && (await takeFamily(staged, left, there, taken))
    recorded.push({ task: id, repo, commit, told: told ? 'log' : 'git' })
    if (!told) own.push({ landing, known: task !== null })
  }
  const handedIn: HandedIn[] = []
  for (const work of works) {
    const { task: id } = work
    if (recorded.some(({ task }) => task === id) || !(await isNews(staged, work))) continue
    const there = await left?.read((reader) => loadTask(reader, id))
    if (left !== null && (await endOf(left, work)) !== 'passed') continue // it was never taken
    const told = left !== null && there && (await takeFamily(staged, left, there, taken, own))
    handedIn.push({ ...work, told: told ? 'log' : 'git' })
  }
  const events = [...taken.values()].flat().toSorted((a, b) => a.seq - b.seq)
  return { recorded, handedIn, own, taken: await withRepos(staged, left, events) }
}

/** Handed in by an attempt of an open task, whose end the staged log does not know. */
async function isNews(staged: Database, work: FoundWork): Promise<boolean> {
  const task = await staged.read((reader) => loadTask(reader, work.task))
  return task !== null && !isOver(task) && (await endOf(staged, work)) === null
}

/** How the attempt with this token ended, as this log knows. */
async function endOf(log: Database, { task, token }: FoundWork): Promise<string | null> {
  const story = (await log.read((reader) => storyOf(reader, task))).map(({ event }) => event)
  const attempt = story.find((event) => event.type === 'attempt.admitted' && event.token === token)
  if (attempt?.type !== 'attempt.admitted') return null
  const end = story.find((event) => event.type === 'attempt.ended' && event.attempt === attempt.attempt)
  return end?.type === 'attempt.ended' ? end.outcome : null
}

/**
 * The task and all that share its root, as the log left behind has them: a part that landed belongs to a plan, and the plan must not be made again.
 * False where that log does not go on from what is staged, or one of them is told by git alone.
 */
async function takeFamily(
  staged: Database,
  left: Database,
  task: Task,
  taken: Map<string, LoggedEvent[]>,
  own: Reconciliation['own'] = [],
): Promise<boolean> {
  const family = await left.read((reader) => tasksOfRoot(reader, task.root))
  if (own.some(({ landing }) => family.includes(landing.task))) return false
  const rests = new Map<string, LoggedEvent[]>()
  for (const member of family) {
    const rest = await restOf(staged, left, member)
    if (rest === null) return false
    rests.set(member, rest)
  }
  for (const [member, rest] of rests) taken.set(member, rest)
  return true
}

/** What a task's stream has beyond the staged one, or null: the two tell different stories. */
async function restOf(staged: Database, left: Database, id: string): Promise<LoggedEvent[] | null> {
  const [here, there] = [await staged.read((r) => storyOf(r, id)), await left.read((r) => storyOf(r, id))]
  const isSame = (a: LoggedEvent, b: LoggedEvent | undefined) =>
    b !== undefined && a.at === b.at && a.actor === b.actor && JSON.stringify(a.event) === JSON.stringify(b.event)
  return here.every((each, index) => isSame(each, there[index])) ? there.slice(here.length) : null
}

/** Repositories that were registered after the backup come along with the first event of a task of theirs. */
async function withRepos(staged: Database, left: Database | null, events: LoggedEvent[]): Promise<LoggedEvent[]> {
  if (left === null) return events
  const known = new Set((await staged.read(listRepos)).map(({ id }) => id))
  const wanted = new Set(
    events.flatMap(({ event }) => (event.type === 'task.added' && !known.has(event.repo) ? [event.repo] : [])),
  )
  const registered: LoggedEvent[] = []
  for (const repo of wanted) registered.push(...(await left.read((reader) => streamOf(reader, `repo/${repo}`))))
  return [...registered, ...events]
}

/** Writes it down, in the transaction of the restore. `at`: when, epoch milliseconds. */
export async function record(tx: Tx, { taken, own }: Reconciliation, at: number): Promise<void> {
  for (const { at: then, actor, stream, event } of taken) await append(tx, { at: then, actor, stream, events: [event] })
  const leased = await leasedAttempts(tx)
  for (const stream of new Set(taken.map((each) => each.stream)))
    if (stream.startsWith('task/')) await endAll(tx, stream.slice('task/'.length), at, (id) => !leased.has(id))
  for (const { landing, known } of own) {
    const stream = `task/${landing.task}`
    if (!known) await append(tx, { at, actor: 'daemon', stream, events: [addedFor(landing)] })
    await endAll(tx, landing.task, at, () => true)
    const { commit, tree, target } = landing
    await append(tx, { at, actor: 'daemon', stream, events: [{ type: 'task.landed', commit, tree, target }] })
  }
}

/** Ends attempts that nobody carries any more and no lease will give back. */
async function endAll(tx: Tx, id: string, at: number, which: (attempt: string) => boolean): Promise<void> {
  const task = await loadTask(tx, id)
  const events = (task?.running ?? [])
    .filter(({ attempt }) => which(attempt))
    .map(({ attempt }): TaskEvent => lost(attempt))
  if (events.length > 0) await append(tx, { at, actor: 'daemon', stream: `task/${id}`, events })
}

const lost = (attempt: string): TaskEvent => ({
  type: 'attempt.ended',
  attempt,
  outcome: 'lost',
  reason: 'the database it was known to was replaced by a backup',
  signature: null,
  tokens: { input: 0, cachedInput: 0, cacheWrite: 0, output: 0 },
  costNanoUsd: 0,
  transcript: null,
  promptSha256: null,
  killed: null,
})

/** A task of which nothing is left but its landing. */
const addedFor = ({ task, repo, title, commit }: FoundLanding): Event => ({
  type: 'task.added',
  task,
  repo,
  title,
  text: `Known only by its landing ${commit}: the database that knew more was replaced by a backup.`,
  kind: 'feature',
  lane: 'normal',
  size: 'small',
  tags: [],
  after: [],
  acceptance: [],
  budgetNanoUsd: null,
  parent: null,
  depth: 0,
  root: task,
  ref: null,
})

/** Who wrote such a work nobody can say, so nobody may review it: a person lets its task begin again, or looks at it first. */
export async function holdHandedIn(tx: Tx, works: readonly HandedIn[], at: number): Promise<void> {
  for (const { task: id, token } of works.filter(({ told }) => told === 'git')) {
    const task = await loadTask(tx, id)
    const why = `restored from a backup that does not know of the work handed in since (refs/tri-agent/${id}/${token}, in quarantine): released, it is made again`
    if (task?.held === null)
      await append(tx, { at, actor: 'daemon', stream: `task/${id}`, events: [{ type: 'task.held', why }] })
  }
}

/** Whether tasks of these repositories have landed nobody can say: a person lets them go on. */
export async function holdUnasked(tx: Tx, unasked: readonly RepoRow[], at: number): Promise<void> {
  for (const { id, name } of unasked)
    for (const task of await openTasksOf(tx, id)) {
      const why = `restored from a backup while ${name} could not be read: whether it landed since is not known`
      if (task.held === null)
        await append(tx, { at, actor: 'daemon', stream: `task/${task.id}`, events: [{ type: 'task.held', why }] })
    }
}

/** Open tasks of the log left behind that the restored one does not know: they are in the database that was kept. */
export async function leftOut(restored: Database, left: Database): Promise<string[]> {
  const open = await left.read(openTaskIds)
  return restored.read(async (reader) => {
    const out: string[] = []
    for (const id of open) if ((await loadTask(reader, id)) === null) out.push(id)
    return out
  })
}
