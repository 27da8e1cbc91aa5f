/** A gateway in a process of its own, to be killed: opens attempts before the provider at the URL given, and says where it is and their keys. */
import { join } from 'node:path'
import { defaultLimits, type Grant } from '../../src/core/budget.ts'
import { createGateway } from '../../src/gateway/gateway.ts'
import { loadPrices } from '../../src/gateway/prices.ts'
import { openDatabase } from '../../src/store/database.ts'
import { grantKey } from '../../src/store/ledger.ts'
import { world } from '../cli-rig.ts'

const [folder = '', baseUrl = '', streams = '0', limit = '0'] = process.argv.slice(2)
const database = openDatabase(join(folder, 'tasks.db'))
const gateway = await createGateway({
  world,
  database,
  upstreams: [{ family: 'anthropic', baseUrl, key: () => 'nobodys-key' }],
  prices: loadPrices(),
  limits: { ...defaultLimits, dayNanoUsd: null },
  folder: join(folder, 's'),
})
const keys: string[] = []
for (let n = 0; n < Number(streams); n++) {
  const key = `vk-${n}-${world.secret(8)}`
  const grant: Grant = {
    attempt: `att_${n}`,
    task: 'task_1',
    repo: 'repo_1',
    stage: 'implement',
    lane: 'normal',
    family: 'anthropic',
    models: ['claude-opus-5-5'],
    grantedAt: world.clock.now(),
    scope: 'task/task_1',
    limitNanoUsd: Number(limit),
  }
  await database.write((tx) => grantKey(tx, key, grant))
  await gateway.open(key, grant)
  keys.push(key)
}
process.stdout.write(`${JSON.stringify({ url: gateway.url, keys })}\n`)
