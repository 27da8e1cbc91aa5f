/** How the command line's commands reach the store: over the daemon's socket where it answers, else straight on the file. */
import { askOnce } from '../command/ask.ts'
import type { Answer, Args, Door } from '../command/door.ts'
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
  const { socket } = context.paths
  const line = { say: (words: string) => say(socket, words), patienceMs }
  const asking = { ...commandPorts(context, database), program: programVersion(), line }
  const { said, by, mayBeHeard } = await askOnce(asking, name, args)
  const heard = by === 'daemon' || (mayBeHeard && !isRefusal(said) && (await nudge(socket))) // busy is not down: it is told to look
  return { said, heard }
}
