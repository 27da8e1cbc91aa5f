/**
 * Landing: a commit object of exactly the tested tree, its objects into the user's repository, then one compare-and-set of one branch.
 *
 *     commit-tree (quarantine) ─▶ objects ─▶ is the branch free, and where we expect it? ─▶ update-ref new old
 *
 * The user's work trees are never touched, so a branch that is checked out anywhere is refused. The user's hooks are not started.
 */
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { isRefusal, type Refusal, refuse } from '../core/refusal.ts'
import { Fault, isFault } from '../host/fault.ts'
import type { Command } from './command.ts'
import type { LandingCommit, RepoStores, Sha } from './git.ts'
import { filterKnown, openSource, readBranch } from './source.ts'
import { quarantinePlace } from './store.ts'

/** Writes the commit object: author and committer are tri-agent, the time is the one given, so equal input gives an equal id. */
export async function writeCommit(command: Command, stores: RepoStores, commit: LandingCommit): Promise<Sha> {
  const date = `@${Math.floor(commit.at / 1000)} +0000`
  return await command.text({
    ...quarantinePlace(stores),
    env: { GIT_AUTHOR_DATE: date, GIT_COMMITTER_DATE: date },
    args: ['commit-tree', commit.tree, '-p', commit.parent, '-F', '-'],
    stdin: commit.message,
    durable: true,
  })
}

/** Moves `target` from `expected` (null: it must not exist) to `commit`. Refuses `moved`, `checked-out`, `alias`, and what `openSource` refuses. */
export async function landCommit(
  command: Command,
  stores: RepoStores,
  target: string,
  expected: Sha | null,
  commit: Sha,
): Promise<{ landed: true } | Refusal> {
  const source = await openSource(command, stores.source)
  if (isRefusal(source)) return source
  const [tip, busy, alias] = await Promise.all([
    readBranch(command, source.gitDir, target),
    refuseCheckedOut(command, source.gitDir, target),
    refuseAlias(command, source.gitDir, target),
  ])
  if (alias !== null) return alias
  if (tip !== expected) return refuseMoved(target, tip, expected)
  if (busy !== null) return busy
  await Promise.all([
    proveForward(command, stores, expected, commit),
    bringObjects(command, stores, source.gitDir, expected, commit),
  ])
  return await compareAndSet(command, source.gitDir, target, expected, commit)
}

const refuseMoved = (target: string, tip: Sha | null, expected: Sha | null): Refusal =>
  refuse('moved', `${target} is at ${tip ?? 'no commit'}, not at ${expected ?? 'no commit'}`)

/** A branch only ever grows: moving it anywhere but forward would be a bug of ours, so it crashes. */
async function proveForward(command: Command, stores: RepoStores, expected: Sha | null, commit: Sha): Promise<void> {
  if (expected === null) return
  const args = ['merge-base', '--is-ancestor', expected, commit]
  const { code } = await command.answer({ ...quarantinePlace(stores), args, accept: [0, 1] })
  if (code === 1) throw new Error(`${commit} does not continue ${expected}`)
}

/** A symbolic ref: moving it would move the branch it stands for, which may be checked out. */
async function refuseAlias(command: Command, gitDir: string, target: string): Promise<Refusal | null> {
  const args = ['symbolic-ref', '--quiet', `refs/heads/${target}`]
  const { code, stdout } = await command.answer({ gitDir, args, accept: [0, 1] })
  if (code === 1) return null
  const why = `${target} is no branch of its own but stands for ${stdout.toString('utf8').trim()}`
  return refuse('alias', why, `git symbolic-ref --delete refs/heads/${target}, or set landing.branch`)
}

async function refuseCheckedOut(command: Command, gitDir: string, target: string): Promise<Refusal | null> {
  const listing = await command.text({ gitDir, args: ['worktree', 'list', '--porcelain', '-z'] })
  for (const worktree of listing.split('\0\0')) {
    const fields = worktree.split('\0')
    if (!fields.includes(`branch refs/heads/${target}`)) continue
    const where = fields.find((field) => field.startsWith('worktree '))?.slice('worktree '.length)
    return refuse('checked-out', `${target} is checked out in ${where}`, `git -C '${where}' switch --detach`)
  }
  if (!(await heldByRebase(gitDir, target))) return null
  return refuse('checked-out', `${target} is being rebased`, 'git rebase --continue or --abort')
}

/** During a rebase HEAD is detached and the branch's name rests in a file, which `worktree list` does not tell. */
async function heldByRebase(gitDir: string, target: string): Promise<boolean> {
  const worktrees = (await listFolder(join(gitDir, 'worktrees'))).map((name) => join(gitDir, 'worktrees', name))
  for (const folder of [gitDir, ...worktrees]) {
    for (const kind of ['rebase-merge', 'rebase-apply']) {
      const head = await readFile(join(folder, kind, 'head-name'), 'utf8').catch(nothingThere(''))
      if (head.trim() === `refs/heads/${target}`) return true
    }
  }
  return false
}

async function listFolder(path: string): Promise<string[]> {
  return await readdir(path).catch(nothingThere<string[]>([]))
}

function nothingThere<T>(nothing: T): (error: NodeJS.ErrnoException) => T {
  return (error) => {
    if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return nothing
    throw error
  }
}

/** Copies what the user's repository lacks of `commit`. Its own branches say what it has, complete with all history. */
async function bringObjects(
  command: Command,
  stores: RepoStores,
  gitDir: string,
  expected: Sha | null,
  commit: Sha,
): Promise<void> {
  const known = expected === null ? await listKnownTips(command, stores, gitDir) : [expected]
  const revisions = [commit, ...known.map((tip) => `^${tip}`)].map((line) => `${line}\n`).join('')
  const args = ['pack-objects', '--quiet', '--revs', '--stdout', '--thin', '--delta-base-offset']
  const { stdout: pack } = await command.answer({ ...quarantinePlace(stores), args, stdin: revisions })
  const few = pack.readUInt32BE(8) < 100 // as git's own fetch: few objects are unpacked, so that small packs do not pile up
  const into = few ? ['unpack-objects', '-q', '--strict'] : ['index-pack', '--stdin', '--fix-thin', '--strict']
  await command.answer({ gitDir, args: into, stdin: pack, durable: true })
}

async function listKnownTips(command: Command, stores: RepoStores, gitDir: string): Promise<Sha[]> {
  const heads = await command.text({ gitDir, args: ['for-each-ref', '--format=%(objectname)', 'refs/heads'] })
  const tips = [...new Set(heads.split('\n').filter((tip) => tip !== ''))]
  return await filterKnown(command, quarantinePlace(stores), tips)
}

async function compareAndSet(
  command: Command,
  gitDir: string,
  target: string,
  expected: Sha | null,
  commit: Sha,
): Promise<{ landed: true } | Refusal> {
  const none = '0'.repeat(commit.length)
  const args = ['update-ref', '--no-deref', '-m', 'tri-agent: land', `refs/heads/${target}`, commit, expected ?? none]
  try {
    await command.answer({ gitDir, args, durable: true })
    return { landed: true }
  } catch (fault) {
    if (!isFault(fault, 'git-failed')) throw fault
    const tip = await readBranch(command, gitDir, target)
    if (tip !== expected) return refuseMoved(target, tip, expected)
    throw new Fault('git-failed', fault.message, {
      hint: `look for refs/heads/${target}.lock, or a branch whose name is in the way`,
    })
  }
}
