/** up: the daemon, in the foreground until it is told to stop, or detached once it answers. */
import { refusePlatform } from '../core/platform.ts'
import { isRefusal, type Refusal } from '../core/refusal.ts'
import type { LoadedConfig } from '../host/config.ts'
import { answer, withDatabase, withEnvFile, type Act, type Context, type Said } from './context.ts'
import { findDaemon } from './presence.ts'

export const up: Act = async (given, said) => {
  const elsewhere = refusePlatform(process.platform)
  if (elsewhere) return elsewhere
  const context = await withEnvFile(given, said)
  if (isRefusal(context)) return context
  const detached = said.flag('detach') === true
  const climbed = detached ? null : (await import('../daemon/ahead.ts')).climbAhead(context.env)
  const loaded = await settle(context, said)
  if (isRefusal(loaded) || typeof loaded === 'number') return loaded
  if (climbed === null) {
    const { notesOnPrices } = await import('../daemon/price-note.ts') // what the daemon says of itself is in its log, where nobody looks now
    const notes = [...loaded.notes, ...(await notesOnPrices(context.world, loaded.settings))]
    for (const each of notes) context.note(`${each}\n`)
    return (await import('./detach.ts')).detach(given, said)
  }
  const { up: stay } = await import('../daemon/up.ts')
  return stay({
    env: context.env,
    loaded,
    unattended: said.flag('unattended') === true,
    climbed,
    note: (text) => context.note(`${text}\n`),
    onReady: ({ pid, port, rung }) =>
      context.out(
        context.json
          ? `${JSON.stringify({ up: true, pid, port, rung })}\n`
          : `Up: pid ${pid}, sandbox rung ${rung}, health on http://127.0.0.1:${port}/health. Ctrl-C stops it.\n`,
      ),
  })
}

/** Has a person's word first, and reads the settings for it. Where a daemon is up already, that was all there was to do. */
async function settle(context: Context, said: Said): Promise<number | Refusal | LoadedConfig> {
  const { settleTrust } = await import('./trust.ts')
  const settled = await settleTrust(context, said)
  if (isRefusal(settled)) return settled
  const { agreed, loaded } = settled
  if (agreed.length === 0 || said.flag('trust') !== true) return loaded
  const up = await withDatabase(context, (database) => database.read(findDaemon))
  if (up === null || isRefusal(up)) return loaded
  return answer(
    context,
    { trusted: agreed, up: true, pid: up.pid },
    `Agreed to: ${agreed.join(', ')}. The daemon (pid ${up.pid}) goes on with it.`,
  )
}
