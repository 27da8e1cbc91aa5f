/** register: a repository becomes known. Registering it again changes its name or base. */
import { isRefusal, refuse, type Refusal } from '../core/refusal.ts'
import { append } from '../store/append.ts'
import { repoByPath, type RepoRow } from '../store/task.ts'
import type { CommandPorts } from './ports.ts'

/** Registers a repository by its absolute path. Refuses `bad-path`. */
export async function registerRepository(
  { database, world, actor }: CommandPorts,
  { path, name, base }: { path: string; name: string; base: string },
): Promise<RepoRow | Refusal> {
  if (!path.startsWith('/')) return refuse('bad-path', `${path} is not an absolute path`)
  return database.write(async (tx) => {
    const known = await repoByPath(tx, path)
    if (known && known.name === name && known.base === base) return known
    const repo = known?.id ?? world.id('repo')
    await append(tx, {
      at: world.clock.now(),
      actor,
      stream: `repo/${repo}`,
      events: [{ type: 'repo.registered', repo, path, name, base }],
    })
    const row = await repoByPath(tx, path)
    if (!row || isRefusal(row)) throw new Error('a registered repository is not there')
    return row
  })
}
