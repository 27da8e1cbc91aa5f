/** Before up: shows the commands of repositories that nobody agreed to yet, and asks. Without a terminal it takes --trust or refuses. */
import { trustRepository } from '../command/trust.ts'
import { isRefusal, refuse, type Refusal } from '../core/refusal.ts'
import { loadConfig, type LoadedConfig } from '../host/config.ts'
import { nudge } from '../host/nudge.ts'
import { makeFolders } from '../host/path.ts'
import { openDatabase } from '../store/database.ts'
import { commandPorts, type Context, type Said } from './context.ts'

export type Settled = { agreed: string[]; loaded: LoadedConfig }

/** Settles trust; answers the names agreed to now, and the settings it read. Refuses `not-trusted`, and what is wrong with the settings. */
export async function settleTrust(context: Context, said: Said): Promise<Settled | Refusal> {
  const { env, paths, world, json, isTerminal, note } = context
  const loaded = await loadConfig({ file: paths.configFile, env })
  if (isRefusal(loaded)) return loaded
  await makeFolders(paths)
  const database = openDatabase(paths.database)
  try {
    const { findUntrusted } = await import('../daemon/trust.ts')
    const agreed: string[] = []
    for (const each of await findUntrusted({ world, paths, settings: loaded.settings, env, database })) {
      const { name, repo, changed, commandsSha256, lines } = each
      const given = said.flag('trust') === true || lines.length === 0
      if (lines.length > 0)
        note(
          `${name}: commands ${changed ? 'that have changed' : 'nobody agreed to yet'}, executed in a sandbox:\n${lines.map((line) => `  ${line}\n`).join('')}`,
        )
      if (!given && (json || !isTerminal || !process.stdin.isTTY))
        return refuse(
          'not-trusted',
          `${name} ${changed ? 'has changed its commands' : 'has commands'} that nobody agreed to`,
          'read them above, then: tri-agent up --trust',
        )
      const { agrees } = given ? { agrees: null } : await import('./init-ask.ts')
      if (agrees !== null && !(await agrees(`Execute them for ${name}?`))) continue
      const row = await trustRepository(commandPorts(context, database), repo, commandsSha256)
      if (isRefusal(row)) return row
      agreed.push(name)
    }
    if (agreed.length > 0) await nudge(paths.socket)
    return { agreed, loaded }
  } finally {
    database.close()
  }
}
