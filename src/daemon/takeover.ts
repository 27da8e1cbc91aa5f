/** One daemon for one database: taking it over, in one transaction with looking whether another one lives. */
import type { Event } from '../core/event.ts'
import { refuse, type Refusal } from '../core/refusal.ts'
import type { Database, Tx } from '../store/database.ts'
import { append } from '../store/append.ts'
import { damageAtStart } from '../store/check.ts'
import { daemonRow, takeEpoch } from '../store/lease.ts'
import { parkedAt } from '../store/task.ts'
import { furthestBehind } from '../store/verify-log.ts'
import type { DaemonOptions } from './daemon.ts'
import { drainScope } from './drain.ts'
import type { DaemonPorts } from './ports.ts'

/**
 * Does a daemon have this state that is not among the processes here: in another container, or of a database that lay here before? It answers at the socket.
 * Its process is looked for first, because one that ended here listens no more.
 */
export async function isElsewhere(
  database: Database,
  { processes, isListened }: Pick<DaemonPorts, 'processes' | 'isListened'>,
  socket: string,
): Promise<boolean> {
  const row = await database.read(daemonRow)
  const isHere = row && processes.isAlive({ bootId: row.boot_id, pid: row.pid, startTime: row.start_time })
  return isHere !== true && (await isListened(socket))
}

/** What is refused where one has. */
export const elsewhere = 'a daemon that is not among the processes here has this state: it is in another container'

/**
 * Makes this process the daemon; answers its epoch. Refuses `already-up`, also where the daemon of a database that lay here before lives on, or one in
 * another container, `database-damaged`, and `database-behind`: what has landed since would be done once more.
 */
export async function takeOver(
  database: Database,
  { world, pid, version, paths: { socket }, ports }: DaemonOptions & { ports: DaemonPorts },
  rung: string,
): Promise<number | Refusal> {
  const { processes } = ports
  const stranger = await isElsewhere(database, ports, socket)
  const damage = await damageAtStart(database)
  return database.write(async (tx) => {
    const other = await daemonRow(tx)
    const identity = other && { bootId: other.boot_id, pid: other.pid, startTime: other.start_time }
    if (identity && identity.pid !== pid && processes.isAlive(identity))
      return refuse('already-up', `a daemon is up already (pid ${identity.pid})`, 'tri-agent status, or tri-agent down')
    if (stranger && other) return refuse('already-up', elsewhere, 'tri-agent status, or tri-agent down, in there')
    if (stranger)
      return refuse(
        'already-up',
        'the daemon of another database lives on and answers for this one',
        `end it (fuser ${socket} names it), then try again`,
      )
    if (damage !== null)
      return refuse(
        'database-damaged',
        `${database.path} is damaged: ${damage}`,
        'tri-agent db check says all of it; tri-agent backup list, tri-agent restore latest',
      )
    const behind = await furthestBehind(tx, database.path)
    if (behind)
      return refuse(
        'database-behind',
        `${database.path} is an older copy: its log ends at event ${behind.end}, and its anchors know of event ${behind.known}`,
        'move it to another name, then: tri-agent restore THAT_FILE. It finds out what has landed since',
      )
    const at = world.clock.now()
    const epoch = await takeEpoch(tx, {
      pid,
      boot_id: processes.bootId(),
      start_time: processes.startTimeOf(pid),
      started_at: at,
    })
    for (const { id } of await parkedAt(tx, drainScope))
      await append(tx, {
        at,
        actor: 'daemon',
        stream: `task/${id}`,
        events: [{ type: 'task.resumed', why: 'the daemon is up again' }],
      })
    await tellOf(tx, at, { type: 'daemon.started', epoch, pid, rung, version })
    return epoch
  })
}

/** An event of the daemon's own stream. */
export const tellOf = (tx: Tx, at: number, event: Event) =>
  append(tx, { at, actor: 'daemon', stream: 'daemon/main', events: [event] })
