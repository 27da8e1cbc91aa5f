/** What a person decides about one task: approve, reject, retry, cancel, prioritize, hold, release. Each answers after the commit and wakes the daemon. */
import { isRefusal, type Refusal } from '../core/refusal.ts'
import type { Task } from '../core/task.ts'
import type { Database, Reader } from '../store/database.ts'
import { waitingFor } from '../store/place.ts'
import { ask } from './ask.ts'
import { answer, withDatabase, type Act, type Context, type Said } from './context.ts'
import { briefTask } from './describe.ts'

type Ports = [context: Context, database: Database]
type Decision = (ports: Ports, task: string, said: Said) => Promise<{ said: Task | Refusal; heard: boolean }>

/** What to say after the decision; may look at what became of other tasks. */
type Tell = (task: Task, reader: Reader) => string | Promise<string>

const deciding =
  (decide: Decision, tell: Tell): Act =>
  (context, said) =>
    withDatabase(context, async (database) => {
      const { said: task, heard } = await decide([context, database], said.args[0]!, said)
      if (isRefusal(task)) return task
      const later = heard ? '' : ' The daemon is down; it will see this when it is up: tri-agent up --detach'
      const told = await database.read(async (reader) => tell(task, reader))
      return answer(context, { task: briefTask(task), daemonHeard: heard }, `${told}${later}`)
    })

export const approve = deciding(
  (ports, task, said) => ask(...ports, 'approve', task, said.text('commit') ?? null),
  ({ id, approval }) => `${id}: ${approval?.commit.slice(0, 12)} may land.`,
)

export const reject = deciding(
  (ports, task, said) => ask(...ports, 'reject', task, said.text('why') ?? ''),
  ({ id }) => `${id}: sent back to its implementer with your reason.`,
)

export const retryOne = deciding(
  (ports, task) => ask(...ports, 'retry', task),
  ({ id, step }) => `${id}: open again at ${step}.`,
)

export const cancelOne = deciding(
  (ports, task, said) => ask(...ports, 'cancel', task, said.text('why') ?? 'no reason given'),
  async ({ id, running }, reader) => {
    const waiting = (await waitingFor(reader, id)).filter(({ phase }) => phase === 'escalated').map((each) => each.id)
    const asks = waiting.length === 1 ? 'asks' : 'ask'
    return [
      `${id}: cancelled.`,
      ...(running.length > 0 ? ['What runs for it is being ended.'] : []),
      ...(waiting.length > 0 ? [`${waiting.join(', ')} waited for it and now ${asks} for your decision.`] : []),
    ].join(' ')
  },
)

export const prioritize = deciding(
  (ports, task, said) => {
    const lane = said.text('lane')
    const first = said.flag('first')
    return ask(...ports, 'prioritize', task, {
      ...(lane === undefined ? {} : { lane }),
      ...(first === undefined ? {} : { override: first }),
    })
  },
  ({ id, lane, override }) => `${id}: lane ${lane}${override ? ', before everything else' : ''}.`,
)

export const hold = deciding(
  (ports, task, said) => ask(...ports, 'hold', task, said.text('why') ?? 'no reason given', said.flag('now') === true),
  ({ id, running, heldNow }) =>
    `${id}: held; nothing new starts for it.${running.length === 0 ? '' : ` What is under way ${heldNow ? 'is ended and starts over later' : 'goes on to its end'}.`}`,
)

export const release = deciding(
  (ports, task) => ask(...ports, 'release', task),
  ({ id }) => `${id}: released.`,
)
