/** The other process of bench queue: for each line it is sent it asks for a task as the command line does, and says when it began. Ends with its input. */
import { createInterface } from 'node:readline'
import { writeRequest } from '../src/command/request.ts'
import { ask } from '../src/host/nudge.ts'
import { world } from '../test/cli-rig.ts'
import { machineMs } from './queue-pickup.ts'

const [socket = '', version = '', repo = ''] = process.argv.slice(2)
for await (const _ of createInterface({ input: process.stdin })) {
  const began = machineMs()
  const wish = { repo, title: 'Sell tea', text: 'x'.repeat(400) }
  const whole = {
    id: world.id('cmd'),
    version,
    by: 'person:bench',
    until: world.clock.now() + 10_000,
    args: [wish] as [typeof wish],
  }
  const { answer } = await ask(socket, writeRequest({ ...whole, name: 'add' }), 10_000)
  if (!answer?.startsWith('{"done":')) throw new Error(`it was not added: ${answer}`)
  console.log(began)
}
