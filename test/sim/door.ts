/**
 * The daemon's socket, and the ways a command takes: through the daemon's own connection, straight on the file, or said at the socket, where a line may
 * come late, be heard by a daemon that dies with it, or be answered when nobody listens any more. Whichever way: it is carried out once.
 */
import { askOnce, type Line } from '../../src/command/ask.ts'
import { carryOut, doors, type Answer, type Args, type Door } from '../../src/command/door.ts'
import type { CommandPorts } from '../../src/command/ports.ts'
import type { Database } from '../../src/store/database.ts'
import { blindToAnswers } from './bug.ts'
import { never, nextTime, type Machine } from './machine.ts'

/** Says a command and resolves with its answer. */
export type Act = <Name extends Door>(name: Name, ...args: Args<Name>) => Promise<Answer<Name>>

/** What every daemon of a story calls its version. */
export const program = '0.0.0'

/** What a daemon hears with; it is gone when that daemon is. */
export type Hearing = { hear(line: string): Promise<string> }

/** Loads what carries commands out: in a story nothing may wait for a file of ours. */
export const loadDoors = async (): Promise<void> => {
  for (const { load } of Object.values(doors)) await load()
}

/** With the daemon's own connection, or the file's. */
export const straight =
  (ports: CommandPorts): Act =>
  <Name extends Door>(name: Name, ...args: Args<Name>): Promise<Answer<Name>> =>
    carryOut(ports, name, args)

/** Over the socket, and by hand where no answer comes in time. */
export function overSocket(machine: Machine, ports: CommandPorts): Act {
  const asking = { ...ports, database: seenBy(machine, ports.database), program, line: lineTo(machine) }
  return async <Name extends Door>(name: Name, ...args: Args<Name>): Promise<Answer<Name>> =>
    (await askOnce(asking, name, args)).said
}

const seenBy = ({ bug }: Machine, database: Database): Database =>
  bug === 'answers-forgotten'
    ? { ...database, write: (body) => database.write((tx) => body(blindToAnswers(tx))) }
    : database

const patienceMs = 100
const minute = 60_000

function lineTo(machine: Machine): Line {
  const { sleep } = machine.world.timer
  const heard = async (line: string, there: Hearing): Promise<string> => {
    const dice = nextTime(machine, 'line')
    await sleep(dice.pick([0, 0, 1, 20, 90, 99, 101, minute]))
    if (machine.door !== there) return never()
    const answer = await there.hear(line)
    await sleep(dice.pick([0, 0, 1, 20, 90, 150]))
    return answer
  }
  return {
    patienceMs,
    async say(line) {
      const { door } = machine
      if (!door) return { answer: null, sent: false }
      const hungUp = () => null // the command itself failed
      const answer = await Promise.race([heard(line, door).catch(hungUp), sleep(patienceMs).then(() => null)])
      return { answer, sent: true }
    },
  }
}
