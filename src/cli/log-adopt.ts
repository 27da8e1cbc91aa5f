/** log adopt: a person goes on without the key that the log was sealed with. Says first what that means; never while a daemon has the key in memory. */
import { adoptLog, askUnproven, type Unproven } from '../command/adopt.ts'
import { isRefusal, refuse, type Refusal } from '../core/refusal.ts'
import { plural } from '../core/quantity.ts'
import { isListened } from '../host/nudge.ts'
import { drawSecret } from '../host/secret.ts'
import { openDatabase } from '../store/database.ts'
import { answer, commandPorts, withDatabase, type Act, type Context } from './context.ts'
import { findDaemon } from './presence.ts'

export const adoptTheLog: Act = async (context, said) => {
  const keyFile = `${context.paths.database}.key`
  const unproven = await withDatabase(context, async (database) => {
    if ((await database.read(findDaemon)) || (await isListened(context.paths.socket)))
      return refuse(
        'already-up',
        'the daemon is up, and seals with the key it started with',
        'tri-agent down, then again',
      )
    const found = await askUnproven({ database })
    return (
      found ?? refuse('nothing-to-adopt', `all of the log is sealed with the key in ${keyFile}`, 'tri-agent log verify')
    )
  })
  if (isRefusal(unproven)) return unproven
  const sure = said.flag('yes') === true || (await isSure(context, keyFile, unproven))
  if (isRefusal(sure)) return sure
  using drawn = drawSecret(keyFile)
  const database = openDatabase(context.paths.database)
  try {
    const event = await adoptLog(commandPorts(context, database))
    if (isRefusal(event)) return event
    drawn.keep()
    await database.anchor()
    const { type: _, ...shown } = event
    return answer(
      context,
      shown,
      `The log goes on under the key ${event.key} in ${keyFile}. Keep a copy of it where your secrets are.\nUp to event ${event.last} it is taken as it was found. Next: tri-agent log verify`,
    )
  } finally {
    database.close()
  }
}

async function isSure(context: Context, keyFile: string, unproven: Unproven): Promise<true | Refusal> {
  const { events, last, keys } = unproven
  const what = `${plural(events, 'event')} up to event ${last} were sealed with ${keys.length === 1 ? 'the key' : 'the keys'} ${keys.join(', ')}. Without it nobody can ever prove that they are what was written; the log says so from then on, and who decided it`
  const typed = `put the copy back at ${keyFile}, if there is one; else: tri-agent log adopt --yes`
  if (context.json || !context.isTerminal || !process.stdin.isTTY) return refuse('not-sure', what, typed)
  context.out(`${what}.\n`)
  const { agrees } = await import('./init-ask.ts')
  return (
    (await agrees('Is there no copy of it, and shall the log go on without?')) ||
    refuse('left', 'nothing was changed', typed)
  )
}
