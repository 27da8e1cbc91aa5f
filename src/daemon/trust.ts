/** Which commands of the registered repositories a person has not agreed to yet. Reads the base commits; executes nothing of them. */
import { isRefusal } from '../core/refusal.ts'
import type { OperatorSettings } from '../core/setting.ts'
import { commandLines } from '../core/trust.ts'
import { createGit } from '../git/subprocess.ts'
import type { Env, Paths } from '../host/path.ts'
import type { World } from '../host/world.ts'
import type { Database } from '../store/database.ts'
import { listRepos } from '../store/task.ts'
import { repositoryReader } from './repository.ts'

export type Untrusted = {
  repo: string
  name: string
  /** Somebody agreed to other ones before. */
  changed: boolean
  commandsSha256: string
  lines: string[]
}

/** The repositories whose commands wait for a person. One that cannot be read now says so when its work starts. */
export async function findUntrusted(ports: {
  world: World
  paths: Paths
  settings: OperatorSettings
  env: Env
  database: Database
}): Promise<Untrusted[]> {
  const { world, paths, settings, env, database } = ports
  const git = createGit(world, { path: env['PATH'] ?? '/usr/bin:/bin' })
  const read = repositoryReader({ world, git, settings, repos: paths.repos, env })
  const found: Untrusted[] = []
  for (const row of await database.read(listRepos)) {
    const context = await read(row).catch(() => null) // a missing tool or folder is its work's matter, and doctor's
    if (context === null || isRefusal(context) || context.isTrusted) continue
    const { commandsSha256, settings: own, registries } = context
    const lines = commandLines(own, registries)
    found.push({ repo: row.id, name: row.name, changed: row.trusted !== null, commandsSha256, lines })
  }
  return found
}
