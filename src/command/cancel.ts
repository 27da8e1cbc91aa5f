/**
 * cancel: a task is given up, and so are the parts it was split into. What runs for it is ended by the daemon as soon as it sees this. Who waits
 * for one of them could never start, so a person is asked what is to become of it: nothing waits in silence.
 */
import type { TaskEvent } from '../core/event.ts'
import { refuse, type Refusal } from '../core/refusal.ts'
import { isOver, type Task } from '../core/task.ts'
import type { Tx } from '../store/database.ts'
import { append } from '../store/append.ts'
import { waitingFor } from '../store/place.ts'
import { childrenOf } from '../store/task.ts'
import { decideOn } from './decide.ts'
import type { CommandPorts } from './ports.ts'

/** Cancels a task. Refuses `already-over`, and `landing` while its commit is being landed. */
export function cancelTask(ports: CommandPorts, said: string, why: string): Promise<Task | Refusal> {
  return decideOn(ports, said, async (task, tx) => {
    if (isOver(task)) return refuse('already-over', `${task.id} is ${task.phase} already`)
    if (task.intent)
      return refuse('landing', `${task.id} is landing at this moment`, 'look again in a second: tri-agent show')
    const parts = await partsOf(tx, task)
    for (const part of parts)
      await write(ports, tx, part, { type: 'task.cancelled', why: `${part.parent} was cancelled: ${why}` })
    for (const { id } of [task, ...parts])
      for (const waiting of await waitingFor(tx, id))
        if (waiting.phase === 'open')
          await write(ports, tx, waiting, {
            type: 'task.escalated',
            why: `${id}, which it waits for, was cancelled: ${why}`,
            evidence: '',
          })
    return [{ type: 'task.cancelled', why }]
  })
}

/** What a task was split into, however deep; without what is over or landing. */
async function partsOf(tx: Tx, parent: Task): Promise<Task[]> {
  const parts: Task[] = []
  for (const child of await childrenOf(tx, parent.id))
    if (!isOver(child) && !child.intent) parts.push(child, ...(await partsOf(tx, child)))
  return parts
}

const write = ({ world, actor }: CommandPorts, tx: Tx, { id }: Task, event: TaskEvent): Promise<void> =>
  append(tx, { at: world.clock.now(), actor, stream: `task/${id}`, events: [event] })
