/**
 * A command on its way to the daemon, and back: one line of JSON each.
 *
 *     said ──▶ the daemon, until `until` ──▶ done: its answer
 *       │            └─ late, of another version, unreadable, failed: not ──┐
 *       └─ no daemon, or no answer in time ─────────────────────────────────┴──▶ the same code, straight on the file
 *
 * It counts once, whoever gets to it: with a request that was sent, its answer is written down in the very transaction that carries it out, under the
 * id it came with. Who comes second finds the answer there and does nothing. What a daemon finds in its socket long after, because it was stopped, is late.
 */
import type { World } from '../host/world.ts'
import type { Database } from '../store/database.ts'
import { keepAnswer, readAnswer } from '../store/command.ts'
import { carryOut, fits, isDoor, type Answer, type Args, type Door } from './door.ts'
import type { CommandPorts } from './ports.ts'

/** Program and schema: two that differ in one of them do not speak for each other. */
export type Version = string

export const versionOf = (program: string, { schema }: Pick<Database, 'schema'>): Version =>
  `${program}, schema ${schema?.to ?? 'unknown'}`

type Request<Name extends Door = Door> = {
  id: string
  version: Version
  /** Who asks: `person:ada`. Whoever can reach the socket could write the file, too. */
  by: string
  /** Until when the daemon may begin with it, epoch milliseconds: after that, whoever asked has begun without it. */
  until: number
  name: Name
  args: Args<Name>
}

/** `not`: the daemon has done nothing, and will not. */
type Reply = { done: unknown } | { not: 'unreadable' | 'version' | 'late' }

export const writeRequest = <Name extends Door>(request: Request<Name>): string => JSON.stringify(request)

/**
 * What a daemon answers a line with. Rejects where the command itself failed: then nothing of it was written. `wake`: called inside its transaction,
 * at the end of it: what is woken so writes in the same commit, and a task that is added starts an fsync sooner.
 */
export async function answerRequest(
  asked: { database: Database; world: Pick<World, 'clock' | 'id'>; version: Version; wake?: () => void },
  line: string,
): Promise<string> {
  const { database, world, version, wake } = asked
  const request = readRequest(line)
  const not = (why: Extract<Reply, { not: string }>['not']) => JSON.stringify({ not: why } satisfies Reply)
  if (request === null) return not('unreadable')
  if (request.version !== version) return not('version')
  if (world.clock.now() > request.until) return not('late')
  if (!isDoor(request.name) || !fits(request.name, request.args)) return not('unreadable')
  const ports = onlyOnce({ database, world, actor: request.by }, request.id, wake)
  return JSON.stringify({ done: await carryOut(ports, request.name, request.args) } satisfies Reply)
}

function readRequest(line: string): Request | null {
  const value = parse(line) as Partial<Request> | null
  if (typeof value !== 'object' || value === null) return null
  const { id, version, by, until } = value
  const isWhole =
    typeof id === 'string' &&
    /^cmd_\w{1,40}$/.test(id) &&
    typeof version === 'string' &&
    typeof by === 'string' &&
    /^person:[^\p{Cc}]{1,200}$/u.test(by) &&
    typeof until === 'number'
  return isWhole ? (value as Request) : null
}

/** The answer in a daemon's reply; null where it has done nothing. */
export function readReply<Name extends Door>(line: string): { done: Answer<Name> } | null {
  const value = parse(line)
  return typeof value === 'object' && value !== null && Object.hasOwn(value, 'done')
    ? (value as { done: Answer<Name> })
    : null
}

function parse(line: string): unknown {
  try {
    return JSON.parse(line) as unknown
  } catch {
    return null
  }
}

/** Ports of which the one transaction of a command happens only where none with this id has; else its answer is given again. */
export function onlyOnce(ports: CommandPorts, id: string, wake = () => {}): CommandPorts {
  const { database, world, actor } = ports
  return {
    world,
    actor,
    database: {
      ...database,
      write: <T>(body: Parameters<Database['write']>[0]) =>
        database.write(async (tx) => {
          const before = await readAnswer(tx, id)
          if (before !== null) return before.answer as T
          const answer = (await body(tx)) as T
          await keepAnswer(tx, id, answer, world.clock.now())
          wake()
          return answer
        }),
    } as Database,
  }
}
