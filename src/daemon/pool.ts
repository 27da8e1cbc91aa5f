/**
 * The warm pool: clean clones made ahead while nothing waits, so that an agent starts without waiting for a checkout. A clone is used once, is
 * thrown away when the tip moves, and is never shared: taking one is a rename.
 */
import { mkdir, rename, rm } from 'node:fs/promises'
import { basename, join } from 'node:path'
import type { Git, RepoStores, Sha } from '../git/git.ts'
import type { World } from '../host/world.ts'
import { isRefusal } from '../core/refusal.ts'
import { listRepos } from '../store/task.ts'
import type { Daemon } from './daemon.ts'

export type Pool = AsyncDisposable & {
  /** Moves a ready clone of this commit to `into`; false when there is none. */
  take(stores: RepoStores, commit: Sha, into: string): Promise<boolean>
  /** Says what will be wanted next; the clone is made soon, and an older one of the repository is dropped. */
  want(repo: string, stores: RepoStores, commit: Sha): void
  /** True for the name of a folder that is a clone of ours, ready or in the making. */
  has(name: string): boolean
  /** Resolves when all that was wanted so far is ready. */
  settled(): Promise<void>
}

type Ready = { commit: Sha; mirror: string; path: string }

/** Let the attempt that has just started have the disk first. */
const calmMs = 200

/** One clone per repository, kept in `folder`. `objectsInside` as in Git.clone. */
export function clonePool(ports: {
  world: World
  git: Git
  folder: string
  objectsInside: string | null
  failed: (error: unknown) => void
}): Pool {
  const { world, git, folder, objectsInside } = ports
  const ready = new Map<string, Ready>()
  const own = new Set<string>()
  let stopped = false
  let making: Promise<void> = Promise.resolve()

  const drop = async ({ path }: Ready) => {
    await rm(path, { recursive: true, force: true })
    own.delete(basename(path))
  }
  const make = async (repo: string, stores: RepoStores, commit: Sha) => {
    const old = ready.get(repo)
    if (stopped || old?.commit === commit) return
    ready.delete(repo)
    if (old) await drop(old)
    await mkdir(folder, { recursive: true, mode: 0o700 })
    const path = join(folder, world.id('warm'))
    own.add(basename(path))
    await git.clone(stores, commit, path, objectsInside)
    ready.set(repo, { commit, mirror: stores.mirror, path })
  }

  return {
    async take(stores, commit, into) {
      const found = [...ready].find(([, each]) => each.commit === commit && each.mirror === stores.mirror)
      if (!found) return false
      const [repo, { path }] = found
      ready.delete(repo) // before anything is awaited: nobody else can take the same clone
      await rename(path, into)
      own.delete(basename(path))
      return true
    },
    has: (name) => own.has(name),
    want(repo, stores, commit) {
      making = making
        .then(() => world.timer.sleep(calmMs))
        .then(() => make(repo, stores, commit))
        .catch(ports.failed)
    },
    settled: () => making,
    async [Symbol.asyncDispose]() {
      stopped = true
      await making
      await rm(folder, { recursive: true, force: true })
    },
  }
}

/** So that the first task of each repository finds a clone too. What is wrong with a repository is said when a task of it starts. */
export async function makeClonesAhead(daemon: Pick<Daemon, 'database' | 'repository' | 'wantClone'>): Promise<void> {
  for (const { id } of await daemon.database.read(listRepos)) {
    const context = await daemon.repository(id)
    if (!isRefusal(context)) daemon.wantClone(id, context)
  }
}
