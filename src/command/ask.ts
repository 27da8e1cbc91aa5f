/**
 * A command is carried out once: by the daemon where it answers in time, so that its writer commits all there is together; else, with the same code,
 * straight on the file.
 */
import { carryOut, type Answer, type Args, type Door } from './door.ts'
import type { CommandPorts } from './ports.ts'
import { onlyOnce, readReply, versionOf, writeRequest } from './request.ts'

/** The way to the daemon. */
export type Line = {
  /** Says a line and waits for one. `sent`: somebody may have heard it, now or later, though there is no answer. Never throws. */
  say(line: string): Promise<{ answer: string | null; sent: boolean }>
  /** How long the answer is waited for. Milliseconds. */
  patienceMs: number
}

/** Where a command goes: the ports straight to the file, and who says it to whom. */
export type Asking = CommandPorts & { program: string; line: Line }

/** What came of it. `by`: who carried it out; `mayBeHeard`: a daemon stands, though it did not answer. */
export async function askOnce<Name extends Door>(
  { program, line, ...ports }: Asking,
  name: Name,
  args: Args<Name>,
): Promise<{ said: Answer<Name>; by: 'daemon' | 'hand'; mayBeHeard: boolean }> {
  const { world, database, actor } = ports
  const id = world.id('cmd')
  const until = world.clock.now() + line.patienceMs
  const request = { id, version: versionOf(program, database), by: actor, until, name, args }
  const { answer, sent } = await line.say(writeRequest(request))
  const reply = answer === null ? null : readReply<Name>(answer)
  if (reply !== null) return { said: reply.done, by: 'daemon', mayBeHeard: true }
  const maybeDone = sent && answer === null
  return { said: await carryOut(maybeDone ? onlyOnce(ports, id) : ports, name, args), by: 'hand', mayBeHeard: sent }
}
