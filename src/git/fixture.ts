/**
 * For tests of this room: throw-away repositories in a temporary folder, and git as a user or an agent would type it.
 * Nothing of the machine's environment or configuration is inherited. Never imported by production code.
 */
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { capture } from '../host/process.ts'
import { realWorld } from '../host/world.ts'
import type { Git, RepoStores, Sha } from './git.ts'
import { createGit, type GitOptions } from './subprocess.ts'

export const searchPath = '/usr/local/bin:/usr/bin:/bin:/opt/homebrew/bin'

export type Scratch = AsyncDisposable & {
  root: string
  stores: RepoStores
  git: Git
  /** git as people type it, in `dir`: hooks, filters and local configuration apply. Answers stdout, trimmed; throws on failure. */
  type(dir: string, args: readonly string[], stdin?: string | Uint8Array): Promise<string>
  /** Writes files in `dir` and commits them all. Answers the commit. */
  commit(dir: string, files: Readonly<Record<string, string | Uint8Array>>, message?: string): Promise<Sha>
  /** A fresh path that does not exist yet. */
  place(name: string): string
  /** Clones for an agent at `commit`, lets it work, and bundles what it committed. Answers the bundle's path. */
  attempt(commit: Sha, work: (dir: string) => Promise<unknown>): Promise<string>
}

/** A repository `source` with one commit on `main`, and stores beside it. */
export async function makeScratch(options: Partial<GitOptions> = {}): Promise<Scratch> {
  const world = realWorld()
  const root = await mkdtemp(join(tmpdir(), 'tri-agent-git-'))
  const git = createGit(world, { path: searchPath, ...options })
  const stores = {
    source: join(root, 'source'),
    mirror: join(root, 'state', 'mirror.git'),
    quarantine: join(root, 'state', 'quarantine.git'),
  }
  const env = {
    PATH: searchPath,
    HOME: join(root, 'home'),
    GIT_CONFIG_NOSYSTEM: '1',
    LC_ALL: 'C',
    CANARY: join(root, 'canary'),
  }
  let places = 0

  const type: Scratch['type'] = async (dir, args, stdin) => {
    const who = [
      'user.name=Ada',
      'user.email=ada@example.org',
      'maintenance.auto=false',
      'gc.auto=0',
      'core.fsync=none',
    ]
    const ended = await capture(world.spawn, {
      file: 'git',
      args: [...who.flatMap((setting) => ['-c', setting]), ...args],
      cwd: dir,
      env,
      stdin: stdin ?? null,
    })
    if (ended.code !== 0) throw new Error(`git ${args.join(' ')}: ${ended.code} ${ended.stderr}`)
    return ended.stdout.trim()
  }
  const commit: Scratch['commit'] = async (dir, files, message = 'Change files') => {
    for (const [path, content] of Object.entries(files)) {
      await mkdir(dirname(join(dir, path)), { recursive: true })
      await writeFile(join(dir, path), content)
    }
    await type(dir, ['add', '-A'])
    await type(dir, ['commit', '-q', '--allow-empty', '-m', message])
    return await type(dir, ['rev-parse', 'HEAD'])
  }
  const place = (name: string) => join(root, `${name}-${(places += 1)}`)

  await mkdir(join(root, 'home'))
  await mkdir(stores.source)
  await type(stores.source, ['init', '-q', '-b', 'main'])
  await commit(stores.source, { 'readme.md': 'one\ntwo\nthree\n', 'src/app.ts': 'export const answer = 41\n' }, 'Start')
  return {
    root,
    stores,
    git,
    type,
    commit,
    place,
    attempt: async (start, work) => {
      const dir = place('clone')
      await git.clone(stores, start, dir, null)
      await work(dir)
      const bundle = place('bundle')
      await type(dir, ['bundle', 'create', '-q', bundle, 'refs/heads/task', `^${start}`])
      return bundle
    },
    [Symbol.asyncDispose]: () => rm(root, { recursive: true, force: true }),
  }
}

/** The tips of a refresh that must not be refused. */
export async function refreshed(
  scratch: Scratch,
  target = 'tri-agent/landing',
): Promise<{ base: Sha; target: Sha | null }> {
  const tips = await scratch.git.refresh(scratch.stores, 'main', target)
  if ('refused' in tips) throw new Error(tips.why)
  return tips
}

/** A raw tree object, names taken as they are: what no porcelain would write. */
export async function writeRawTree(
  scratch: Scratch,
  dir: string,
  entries: readonly { mode: string; name: string | Buffer; id: Sha }[],
): Promise<Sha> {
  const bytes = entries.flatMap((entry) => [
    Buffer.from(`${entry.mode} `),
    Buffer.from(entry.name),
    Buffer.from([0]),
    Buffer.from(entry.id, 'hex'),
  ])
  return await scratch.type(dir, ['hash-object', '-t', 'tree', '--literally', '-w', '--stdin'], Buffer.concat(bytes))
}
