/** cancel: a task is given up, and so are the parts it was split into. What runs for it is ended by the daemon as soon as it sees this. */
import { refuse, type Refusal } from '../core/refusal.ts'
import { isOver, type Task } from '../core/task.ts'
import type { Tx } from '../store/database.ts'
import { append } from '../store/log.ts'
import { childrenOf } from '../store/task.ts'
import { decideOn } from './decide.ts'
import type { CommandPorts } from './ports.ts'

/** Cancels a task. Refuses `already-over`, and `landing` while its commit is being landed. */
export function cancelTask(ports: CommandPorts, said: string, why: string): Promise<Task | Refusal> {
  return decideOn(ports, said, async (task, tx) => {
    if (isOver(task)) return refuse('already-over', `${task.id} is ${task.phase} already`)
    if (task.intent)
      return refuse('landing', `${task.id} is landing at this moment`, 'look again in a second: tri-agent show')
    await cancelChildren(ports, tx, task, why)
    return [{ type: 'task.cancelled', why }]
  })
}

async function cancelChildren({ world, actor }: CommandPorts, tx: Tx, parent: Task, why: string): Promise<void> {
  for (const child of await childrenOf(tx, parent.id)) {
    if (isOver(child) || child.intent) continue
    await cancelChildren({ world, actor } as CommandPorts, tx, child, why)
    const event = { type: 'task.cancelled' as const, why: `${parent.id} was cancelled: ${why}` }
    await append(tx, { at: world.clock.now(), actor, stream: `task/${child.id}`, events: [event] })
  }
}
