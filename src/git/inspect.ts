/**
 * A first look at a folder somebody wants to have worked on: is it a repository, where is its top, which branch, which commit, and what lies in
 * that commit. Reads only, executes nothing of the repository's, and sees what is committed, never the work tree.
 */
import type { Outside } from '../core/outside.ts'
import { isRefusal, refuse, type Refusal } from '../core/refusal.ts'
import type { World } from '../host/world.ts'
import { showPath } from './change.ts'
import { createCommand, type Command } from './command.ts'
import type { Sha } from './git.ts'
import { describeLarge, findLarge } from './large-file.ts'
import { findModules, homeOf } from './module.ts'
import { marksReader } from './outside.ts'
import { openSource, readBranch } from './source.ts'

export type Inspected = {
  /** The top of the work tree, or the git directory of a bare repository; absolute, links resolved. */
  top: string
  /** There is no work tree: work can land here, and nothing can be written. */
  isBare: boolean
  /** The branch work would start from. */
  base: string
  commit: Sha
  /** What that commit names and does not hold, and whether it is here. */
  outside: Outside
  /** What a checkout of that commit takes, and the whole repository's objects. */
  bytes: { tree: number; history: number }
  /** Every path of that commit. */
  list(): readonly string[]
  /** A small file at the top of that commit, or null. */
  read(path: string): string | null
}

/** Files at the top that are larger are no configuration, in bytes. */
const largestFile = 1024 * 1024

/** Looks at the repository around `folder`. `path` is PATH; `base` null means the branch that is checked out. Refuses `not-a-repository`, `shallow`, `no-commit`, `no-branch`, `no-such-branch`. */
export async function inspectRepository(
  world: World,
  { folder, path, base }: { folder: string; path: string; base: string | null },
): Promise<Inspected | Refusal> {
  const command = createCommand(world, { path })
  const source = await openSource(command, folder)
  if (isRefusal(source)) return source
  const { gitDir } = source
  const isBare = (await command.text({ folder, args: ['rev-parse', '--is-inside-work-tree'] })) !== 'true'
  const top = isBare
    ? gitDir
    : await command.text({ folder, args: ['rev-parse', '--path-format=absolute', '--show-toplevel'] })
  const current = await command.answer({ folder, args: ['symbolic-ref', '--quiet', 'HEAD'], accept: [0, 1] })
  const branch = base ?? (current.code === 0 ? branchOf(current.stdout.toString('utf8').trim()) : null)
  if (branch === null)
    return refuse('no-branch', `${top} has no branch checked out`, 'say where work starts: tri-agent init --base main')
  const commit = await readBranch(command, gitDir, branch)
  if (commit === null)
    return base === null
      ? refuse('no-commit', `${top} has no commit yet`, 'git add --all && git commit')
      : refuse('no-such-branch', `${top} has no branch ${branch}`, 'git branch --list')
  const files = await listFiles(command, gitDir, commit)
  const texts = await readTop(command, gitDir, commit)
  const outside = await lookOutside(world, command, gitDir, isBare ? null : top, commit)
  const bytes = { tree: files.bytes + outside.large.bytes, history: await sizeOf(command, gitDir) }
  return {
    top,
    isBare,
    base: branch,
    commit,
    outside,
    bytes,
    list: () => files.paths,
    read: (name) => texts.get(name) ?? null,
  }
}

async function lookOutside(
  world: World,
  command: Command,
  gitDir: string,
  top: string | null,
  commit: Sha,
): Promise<Outside> {
  const ports = { world, command, marks: marksReader(command) }
  const modules = await findModules(ports, { gitDir }, await homeOf(gitDir, top), commit, null)
  const large = describeLarge(await findLarge(ports, { gitDir }, gitDir, commit))
  return { modules: modules.map(({ path, objects }) => ({ path: showPath(path), there: objects !== null })), large }
}

/** Not git's own short form: that says `heads/main` where a tag is called main too. */
const branchOf = (ref: string): string => ref.replace(/^refs\/heads\//, '')

async function listFiles(command: Command, gitDir: string, commit: Sha): Promise<{ paths: string[]; bytes: number }> {
  const { stdout } = await command.answer({ gitDir, args: ['ls-tree', '-r', '-z', '-l', commit] })
  const lines = stdout.toString('utf8').split('\0').filter(Boolean)
  const size = (line: string) => Number(/^\S+ \S+ \S+ +(\d+)\t/.exec(line)?.[1] ?? 0)
  return {
    paths: lines.map((line) => line.slice(line.indexOf('\t') + 1)),
    bytes: lines.reduce((sum, line) => sum + size(line), 0),
  }
}

/** Bytes of all objects, loose and packed. */
async function sizeOf(command: Command, gitDir: string): Promise<number> {
  const counted = await command.text({ gitDir, args: ['count-objects', '-v'] })
  return [...counted.matchAll(/^(?:size|size-pack): (\d+)$/gm)].reduce((sum, match) => sum + Number(match[1]) * 1024, 0)
}

/** The small regular files at the top of a commit, by name. */
async function readTop(command: Command, gitDir: string, commit: Sha): Promise<Map<string, string>> {
  const { stdout } = await command.answer({ gitDir, args: ['ls-tree', '-z', '-l', commit] })
  const files = stdout
    .toString('utf8')
    .split('\0')
    .flatMap((line) => {
      const [, kind, id, size, name] = /^100\d+ (\w+) (\w+) +(\d+)\t(.*)$/s.exec(line) ?? []
      return kind === 'blob' && Number(size) <= largestFile ? [{ id: id!, name: name! }] : []
    })
  const texts = new Map<string, string>()
  if (files.length === 0) return texts
  const batch = await command.answer({
    gitDir,
    args: ['cat-file', '--batch'],
    stdin: files.map(({ id }) => `${id}\n`).join(''),
  })
  let at = 0
  for (const { name } of files) {
    const end = batch.stdout.indexOf(10, at)
    const length = Number(batch.stdout.toString('latin1', at, end).split(' ')[2])
    texts.set(name, batch.stdout.toString('utf8', end + 1, end + 1 + length))
    at = end + 1 + length + 1 // each object is followed by a newline (git-cat-file, BATCH OUTPUT)
  }
  return texts
}
