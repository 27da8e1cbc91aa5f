/** Which repository is meant: the one that was named, or the one around the folder we are in. */
import { realpathSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { refuse, type Refusal } from '../core/refusal.ts'
import type { Reader } from '../store/database.ts'
import { listRepos, repoByPath, type RepoRow } from '../store/task.ts'
import type { Context } from './context.ts'

/** The repository that was named, or the registered one around the folder we are in. Refuses `no-such-repository`, `not-registered`. */
export async function findRepository(reader: Reader, { cwd }: Context, named?: string): Promise<RepoRow | Refusal> {
  const repos = await listRepos(reader)
  if (named !== undefined) {
    const found = repos.filter(({ name, path, id }) => [name, path, id].includes(named) || path === resolve(cwd, named))
    if (found.length === 1) return found[0]!
    const names = repos.map(({ name }) => name).join(', ') || 'none yet'
    return found.length === 0
      ? refuse('no-such-repository', `no repository ${JSON.stringify(named)} is registered`, `registered: ${names}`)
      : refuse(
          'ambiguous',
          `${found.length} repositories are called ${named}`,
          `say the path: ${found.map(({ path }) => path).join(', ')}`,
        )
  }
  for (let folder = realpathSync(cwd); ; folder = dirname(folder)) {
    const found = await repoByPath(reader, folder)
    if (found) return found
    if (folder === dirname(folder))
      return refuse('not-registered', `${cwd} is in no registered repository`, 'tri-agent init here, or --repo NAME')
  }
}
