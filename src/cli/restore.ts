/** restore: ends the daemon, puts a backup in the place of the database, and says what is known of the time since. */
import { isRefusal, refuse, type Refusal } from '../core/refusal.ts'
import { plural } from '../core/quantity.ts'
import { loadConfig } from '../host/config.ts'
import { accountName } from '../host/environment.ts'
import { nudge } from '../host/nudge.ts'
import { openDatabase, type Database } from '../store/database.ts'
import { answer, type Act, type Context } from './context.ts'
import { endDaemon } from './down.ts'
import { age } from './format.ts'

export const restore: Act = async (context, said) => {
  const { paths, world, env } = context
  const { findBackup } = await import('../store/verify-backup.ts')
  const file = findBackup(paths.database, context.cwd, said.args[0]!)
  if (isRefusal(file)) return file
  const loaded = await loadConfig({ file: paths.configFile, env })
  if (isRefusal(loaded)) return loaded
  let wasUp = false
  const { restore: carryOut } = await import('../daemon/restore.ts')
  const tell = (what: string) => {
    if (context.isTerminal) context.note(`Looking at ${what}…\n`)
  }
  const restored = await carryOut({
    world,
    env,
    paths,
    file,
    tell,
    settings: loaded.settings,
    actor: `person:${accountName()}`,
    adopt: said.flag('adopt') === true,
    async endDaemon() {
      const ended = await endTheDaemon(context, said.flag('now') === true)
      if (isRefusal(ended)) return ended
      wasUp = ended
      if (wasUp) context.note('The daemon has ended.\n')
      return null
    },
  })
  if (isRefusal(restored)) return restored
  const { event, takenAt, damaged, leftOut, unasked } = restored
  const { landings, handedIn = [], kept, from, money } = event
  const [known, unknown] = [
    handedIn.filter(({ told }) => told === 'log'),
    handedIn.filter(({ told }) => told === 'git'),
  ]
  const lines = [
    `Restored  ${file}, up to event ${from?.seq ?? 0}, taken ${age(world.clock.now() - takenAt)} ago`,
    kept === null ? 'Kept      nothing: there was no database' : `Kept      ${kept}: the database as it was`,
    `Landed    ${landings.length === 0 ? 'nothing since' : `${plural(landings.length, 'landing')} since are recorded, and land no second time`}`,
    money === 'counted'
      ? 'Spent     what was spent since is counted'
      : `Spent     what was spent since nobody can say (${damaged}): today's budget counts as used`,
    ...(known.length > 0
      ? [
          `Work      ${plural(known.length, 'attempt')} handed in since ${known.length === 1 ? 'goes' : 'go'} on from there`,
        ]
      : []),
    ...unknown.map(
      ({ task, token }) =>
        `Held      ${task}: work handed in since lies in quarantine (refs/tri-agent/${task}/${token}), and the log does not know it`,
    ),
    ...(leftOut.length > 0 ? [`Left out  added since and not landed: ${leftOut.join(', ')}`] : []),
    ...unasked.map(
      (name) => `Held      the tasks of ${name}, which could not be read: release them when you have looked`,
    ),
    '',
    `Next: tri-agent log verify, then tri-agent up --detach.${kept === null ? '' : ` Undo: tri-agent restore ${kept}`}`,
  ]
  const { type: _, anchors: __, behind: ___, ...shown } = event
  return answer(context, { ...shown, takenAt, leftOut, wasUp }, lines.join('\n'))
}

/** False when none was up. A database that cannot be read does not tell who its daemon is; the socket tells that there is one. */
async function endTheDaemon(context: Context, now: boolean): Promise<boolean | Refusal> {
  const { paths } = context
  let database: Database
  try {
    database = openDatabase(paths.database, { readOnly: true })
  } catch {
    return refuseStranger(await nudge(paths.socket), paths.socket)
  }
  try {
    const ended = await endDaemon(context, database, now)
    return isRefusal(ended) ? ended : ended !== null
  } catch {
    return refuseStranger(await nudge(paths.socket), paths.socket)
  } finally {
    database.close()
  }
}

const refuseStranger = (isUp: boolean, socket: string): false | Refusal =>
  isUp
    ? refuse(
        'already-up',
        'a daemon is up, and the database does not tell which process it is',
        `end it (fuser ${socket} names it), then try again`,
      )
    : false
