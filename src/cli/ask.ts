/**
 * How a command reaches the store: over the daemon's socket where it answers within 100 ms, so that its writer commits all there is together; else, with
 * the same code, straight on the file. Either way it has been carried out once when this returns.
 */
import { carryOut, type Answer, type Args, type Door } from '../command/door.ts'
import { onlyOnce, readReply, versionOf, writeRequest } from '../command/request.ts'
import { isRefusal } from '../core/refusal.ts'
import { ask as say, nudge, patienceMs } from '../host/nudge.ts'
import { programVersion } from '../host/version.ts'
import type { Database } from '../store/database.ts'
import { commandPorts, type Context } from './context.ts'

/** What came of it, and whether a daemon knows. */
export async function ask<Name extends Door>(
  context: Context,
  database: Database,
  name: Name,
  ...args: Args<Name>
): Promise<{ said: Answer<Name>; heard: boolean }> {
  const { world, paths } = context
  const ports = commandPorts(context, database)
  const id = world.id('cmd')
  const version = versionOf(programVersion(), database)
  const until = world.clock.now() + patienceMs
  const { answer, sent } = await say(paths.socket, writeRequest({ id, version, by: ports.actor, until, name, args }))
  const reply = answer === null ? null : readReply<Name>(answer)
  if (reply !== null) return { said: reply.done, heard: true }
  const maybeDone = sent && answer === null
  const said = await carryOut(maybeDone ? onlyOnce(ports, id) : ports, name, args)
  const heard = sent && !isRefusal(said) && (await nudge(paths.socket)) // busy is not down: it is told to look
  return { said, heard }
}
