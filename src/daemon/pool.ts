/**
 * The warm pool: clean clones made ahead while nothing waits, with the set-up layer in it where layers are copied, so that an agent starts without waiting for
 * a checkout or a copy. There is one for each slot; it is used once, is thrown away when the tip moves, and is never shared: taking one is a rename.
 */
import { mkdir, rename } from 'node:fs/promises'
import { basename, join } from 'node:path'
import type { Git, RepoStores, Sha } from '../git/git.ts'
import type { World } from '../host/world.ts'
import { removeTree } from '../sandbox/area.ts'
import type { Laid } from '../stage/stage.ts'
import { isRefusal } from '../core/refusal.ts'
import { listRepos } from '../store/task.ts'
import type { Daemon } from './daemon.ts'

export type Pool = AsyncDisposable & {
  /** Moves a ready clone of this commit to `into`; null when there is none. */
  take(stores: RepoStores, commit: Sha, into: string): Promise<{ laid: Laid | null } | null>
  /** Says what will be wanted next; clones are made soon, and older ones of the repository are dropped. `lay`: what is laid over each. */
  want(repo: string, stores: RepoStores, commit: Sha, lay?: (into: string) => Promise<Laid | null>): void
  /** True for the name of a folder that is a clone of ours, ready or in the making. */
  has(name: string): boolean
  /** Resolves when all that was wanted so far is ready. */
  settled(): Promise<void>
}

type Ready = { commit: Sha; mirror: string; path: string; laid: Laid | null }

/** Let the attempt that has just started have the disk first. */
const calmMs = 200

/** So many clones of a repository as `slots` may want at once, kept in `folder`. `objectsInside` as in Git.clone. */
export function clonePool(ports: {
  world: World
  git: Git
  folder: string
  slots: number
  objectsInside: string | null
  failed: (error: unknown) => void
}): Pool {
  const { world, git, folder, slots, objectsInside } = ports
  const ready = new Map<string, Ready[]>()
  const own = new Set<string>()
  let stopped = false
  let making: Promise<void> = Promise.resolve()

  const drop = async (path: string) => {
    await removeTree(path)
    own.delete(basename(path))
  }
  const make = async (stores: RepoStores, commit: Sha, lay: (into: string) => Promise<Laid | null>): Promise<Ready> => {
    await mkdir(folder, { recursive: true, mode: 0o700 })
    const path = join(folder, world.id('warm'))
    own.add(basename(path))
    try {
      await git.clone(stores, commit, path, objectsInside)
      return { commit, mirror: stores.mirror, path, laid: await lay(path) }
    } catch (error) {
      await drop(path)
      throw error
    }
  }
  const fill = async (repo: string, stores: RepoStores, commit: Sha, lay: (into: string) => Promise<Laid | null>) => {
    const kept = ready.get(repo)?.filter((each) => each.commit === commit) ?? []
    const old = ready.get(repo)?.filter((each) => each.commit !== commit) ?? []
    ready.set(repo, kept) // before anything is awaited: what is dropped is not taken
    for (const { path } of old) await drop(path)
    while (!stopped && kept.length < slots) kept.push(await make(stores, commit, lay))
  }

  return {
    async take(stores, commit, into) {
      for (const clones of ready.values()) {
        const at = clones.findIndex((each) => each.commit === commit && each.mirror === stores.mirror)
        if (at < 0) continue
        const [{ path, laid }] = clones.splice(at, 1) as [Ready] // before anything is awaited: nobody else can take the same clone
        await rename(path, into)
        own.delete(basename(path))
        return { laid }
      }
      return null
    },
    has: (name) => own.has(name),
    want(repo, stores, commit, lay = () => Promise.resolve(null)) {
      making = making
        .then(() => world.timer.sleep(calmMs))
        .then(() => (stopped ? undefined : fill(repo, stores, commit, lay)))
        .catch(ports.failed)
    },
    settled: () => making,
    async [Symbol.asyncDispose]() {
      stopped = true
      await making
      await removeTree(folder)
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
