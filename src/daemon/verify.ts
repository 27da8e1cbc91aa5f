/**
 * verify-history: an independent look at what landed. For every commit on the target that the log knows: its tree is the tested tree, it is on the
 * history, its trailers agree with the log, and families other than the author's voted on the very commit that was reviewed.
 */
import { isRefusal } from '../core/refusal.ts'
import { readAnchor, readTrailers } from '../core/trailer.ts'
import type { Task } from '../core/task.ts'
import { createGit } from '../git/subprocess.ts'
import { loadConfig } from '../host/config.ts'
import { Fault } from '../host/fault.ts'
import { findPaths, type Env } from '../host/path.ts'
import { realWorld } from '../host/world.ts'
import { openDatabase, type Database } from '../store/database.ts'
import { readLog } from '../store/log.ts'
import { landingsOf, listRepos, loadTask, type LandingRow } from '../store/task.ts'
import type { KnownAnchor } from '../store/verify-log.ts'
import { storesOf } from './repository.ts'

export type VerifyOptions = { env: Env; repo: string | null; json: boolean; out: (text: string) => void }

type Commit = { commit: string; tree: string; parents: string[]; message: string }
export type Verified = { commit: string; task: string; title: string; problems: string[] }

/** Verifies every landing of the registered repositories (or one, by its id). Exit code: 0 all good, 1 something is wrong. */
export async function verifyHistory({ env, repo, json, out }: VerifyOptions): Promise<number> {
  const world = realWorld()
  const paths = findPaths(env)
  const database = openDatabase(paths.database)
  try {
    const branch = await landingBranch(paths.configFile, env)
    const git = createGit(world, { path: env['PATH'] ?? '/usr/bin:/bin' })
    const known = await database.read(listRepos)
    const repos = known.filter(({ id }) => repo === null || id === repo)
    const all = (await Promise.all(known.map(({ id }) => database.read((reader) => landingsOf(reader, id))))).flat()
    const fromGit = await landingsFromGit(database)
    const verified: Verified[] = []
    const strangers: { commit: string; repo: string }[] = []
    for (const row of repos) {
      const stores = storesOf(paths.repos, row)
      const landings = await database.read((reader) => landingsOf(reader, row.id))
      const target = landings.at(-1)?.target ?? branch
      const tips = await git.refresh(stores, row.base, target)
      if (isRefusal(tips))
        throw new Fault(tips.refused, `${row.name}: ${tips.why}`, tips.hint ? { hint: tips.hint } : {})
      // A target that was merged and removed is proven by the base.
      const history = await git.history(stores, tips.target === null ? row.base : target, null)
      for (const landing of landings) {
        const task = await database.read((reader) => loadTask(reader, landing.task))
        verified.push({
          commit: landing.commit_sha,
          task: landing.task,
          title: task?.title ?? '?',
          problems: problemsOf(landing, task, history, fromGit),
        })
      }
      for (const { commit, message } of history)
        if (readTrailers(message)['Tested-Tree'] && !all.some((each) => each.commit_sha === commit))
          // one repository may be known by two paths
          strangers.push({ commit, repo: row.name })
    }
    const bad = verified.filter(({ problems }) => problems.length > 0).length + strangers.length
    out(json ? `${JSON.stringify({ ok: bad === 0, verified, strangers }, null, 2)}\n` : asText(verified, strangers))
    return bad === 0 ? 0 : 1
  } finally {
    database.close()
  }
}

/** The anchors of the log that landing commits carry, and the repositories that could not be asked, with why. */
export async function anchorsInHistory(
  database: Database,
  env: Env,
): Promise<{ anchors: KnownAnchor[]; unasked: string[] }> {
  const paths = findPaths(env)
  const git = createGit(realWorld(), { path: env['PATH'] ?? '/usr/bin:/bin' })
  const branch = await landingBranch(paths.configFile, env)
  const anchors: KnownAnchor[] = []
  const unasked: string[] = []
  for (const row of await database.read(listRepos)) {
    const stores = storesOf(paths.repos, row)
    const target = (await database.read((reader) => landingsOf(reader, row.id))).at(-1)?.target ?? branch
    const tips = await git.refresh(stores, row.base, target)
    if (isRefusal(tips)) unasked.push(`${row.name}: ${tips.why}`)
    else if (tips.target !== null)
      for (const { commit, message } of await git.history(stores, target, null)) {
        const anchor = readAnchor(readTrailers(message))
        if (anchor) anchors.push({ ...anchor, where: `landing ${commit.slice(0, 9)} in ${row.name}` })
      }
  }
  return { anchors, unasked }
}

async function landingBranch(file: string, env: Env): Promise<string> {
  const settings = await loadConfig({ file, env })
  if (isRefusal(settings)) throw new Fault(settings.refused, settings.why, settings.hint ? { hint: settings.hint } : {})
  return settings.settings.landing.branch
}

/** Landings that restores recorded by their trailers alone, because the database that knew more could not be believed. */
async function landingsFromGit(database: Database): Promise<Set<string>> {
  const restores = await database.read((reader) =>
    readLog(reader, { stream: 'daemon/main', types: ['store.restored'], limit: Number.MAX_SAFE_INTEGER }),
  )
  return new Set(
    restores
      .flatMap(({ event }) => (event.type === 'store.restored' ? event.landings : []))
      .flatMap(({ told, commit }) => (told === 'git' ? [commit] : [])),
  )
}

/** What can be said of a landing whose story is lost: its own trailers must be at one with its tree and with the policy. */
function problemsByTrailers(landing: LandingRow, { tree, parents, message }: Commit): string[] {
  const trailers = readTrailers(message)
  const family = (said: string) => said.split(' ')[0]
  const author = family(trailers['Implemented-By']?.[0] ?? '')
  const others = new Set((trailers['Reviewed-By'] ?? []).map(family).filter((each) => each !== author))
  const checks: [boolean, string][] = [
    [tree === landing.tree, `landed tree ${tree} is not the tested tree ${landing.tree}`],
    [trailers['Tested-Tree']?.[0] === tree, 'its Tested-Tree trailer names another tree'],
    [trailers['Task']?.[0] === landing.task, 'its Task trailer names another task'],
    [
      others.size >= 2 || trailers['Approved-By']?.[0]?.startsWith('person:') === true,
      'fewer than two other families reviewed it and no person approved',
    ],
    [parents.length === 1, 'it does not have exactly one parent'],
  ]
  return checks.filter(([holds]) => !holds).map(([, problem]) => problem)
}

/** Everything that is wrong with one landing, in sentences. */
function problemsOf(
  landing: LandingRow,
  task: Task | null,
  history: readonly Commit[],
  fromGit: ReadonlySet<string>,
): string[] {
  const commit = history.find((each) => each.commit === landing.commit_sha)
  if (!commit) return ['is not in the history of its target']
  if (fromGit.has(landing.commit_sha)) return problemsByTrailers(landing, commit)
  if (!task?.candidate || !task.round || !task.approval) return ['the log does not know how it came to be']
  const trailers = readTrailers(commit.message)
  const { candidate, round, approval } = task
  const others = round.votes.filter(({ family }) => family !== candidate.family)
  const checks: [boolean, string][] = [
    [commit.tree === landing.tree, `landed tree ${commit.tree} is not the tested tree ${landing.tree}`],
    [trailers['Tested-Tree']?.[0] === commit.tree, 'its Tested-Tree trailer names another tree'],
    [trailers['Task']?.[0] === landing.task, 'its Task trailer names another task'],
    [trailers['Reviewed-Commit']?.[0] === candidate.commit, 'its Reviewed-Commit trailer names another commit'],
    [
      round.commit === candidate.commit && approval.commit === candidate.commit,
      'review, approval and candidate are not about one commit',
    ],
    [round.votes.every(({ commit: voted }) => voted === candidate.commit), 'a vote was cast on another commit'],
    [
      round.policy.families.every((family) => others.some((vote) => vote.family === family)),
      'a family that had to review it did not',
    ],
    [
      others.length >= 2 || approval.by.startsWith('person:'),
      'fewer than two other families reviewed it and no person approved',
    ],
    [round.verdict === 'approved', 'its round was not approved'],
    [commit.parents.length === 1, 'it does not have exactly one parent'],
  ]
  return checks.filter(([holds]) => !holds).map(([, problem]) => problem)
}

function asText(verified: readonly Verified[], strangers: readonly { commit: string; repo: string }[]): string {
  const lines = verified.map(({ commit, title, problems }) =>
    problems.length === 0
      ? `ok    ${commit.slice(0, 9)}  ${title}`
      : `WRONG ${commit.slice(0, 9)}  ${title}\n      ${problems.join('\n      ')}`,
  )
  const unknown = strangers.map(
    ({ commit, repo }) => `WRONG ${commit.slice(0, 9)}  in ${repo} claims to be a landing; the log knows nothing of it`,
  )
  const good = verified.filter(({ problems }) => problems.length === 0).length
  const bad = verified.length - good + strangers.length
  return `${[...lines, ...unknown].join('\n')}\n${good} landings: tested tree = landed tree, reviewed by other families${bad === 0 ? '' : `; ${bad} WRONG`}\n`
}
