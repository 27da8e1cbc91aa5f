/** Writing down what doctor and /health found: the table `health_status`, and from it the file health.json beside the database, 0600. */
import { rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Check } from '../core/check.ts'
import type { Paths } from '../host/path.ts'
import type { World } from '../host/world.ts'
import type { Database } from '../store/database.ts'
import { readHealth, saveHealth } from '../store/health.ts'

/** `whole`: these are all checks there are; else what was found of others stays. The file appears whole or not at all. */
export async function record(
  database: Database,
  { world, paths }: { world: World; paths: Pick<Paths, 'stateFolder'> },
  checks: readonly Check[],
  whole: boolean,
): Promise<void> {
  const at = world.clock.now()
  const rows = await database.write(async (tx) => {
    await saveHealth(tx, checks, at, whole)
    return readHealth(tx)
  })
  const file = join(paths.stateFolder, 'health.json')
  const part = `${file}.${process.pid}.part`
  await rm(part, { force: true })
  await writeFile(part, `${JSON.stringify({ writtenAt: at, checks: rows }, null, 2)}\n`, { mode: 0o600, flag: 'wx' })
  await rename(part, file)
}
