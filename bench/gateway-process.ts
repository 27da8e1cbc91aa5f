/**
 * Our gateway in a process of its own, for bench gateway: before the provider at the URL it is given, with a ledger in a file, as shipped but for the
 * pace. Says its port and its keys, and ends with its stdin.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { defaultLimits, type Grant } from '../src/core/budget.ts'
import { createGateway } from '../src/gateway/gateway.ts'
import { loadPrices } from '../src/gateway/prices.ts'
import { realWorld } from '../src/host/world.ts'
import { openDatabase } from '../src/store/database.ts'
import { grantKey } from '../src/store/ledger.ts'

const [baseUrl = '', agents = '1'] = process.argv.slice(2)
const world = realWorld()
const folder = mkdtempSync(join(tmpdir(), 'tri-agent-gateway-'))
const database = openDatabase(join(folder, 'tasks.db'))
const gateway = await createGateway({
  world,
  database,
  folder: join(folder, 's'),
  prices: loadPrices(),
  limits: { ...defaultLimits, dayNanoUsd: null, pace: null },
  upstreams: [{ family: 'anthropic', baseUrl, key: () => 'sk-0123456789abcdef' }],
})
const keys: string[] = []
for (let n = 1; n <= Number(agents); n += 1) {
  const key = `vk-${world.secret(16)}`
  const grant: Grant = {
    attempt: `attempt_${n}`,
    task: `task_${n}`,
    repo: 'repo_1',
    repoName: 'shop',
    stage: 'implement',
    lane: 'normal',
    family: 'anthropic',
    models: ['claude-opus-5-5'],
    grantedAt: world.clock.now(),
    scope: `task/task_${n}`,
    limitNanoUsd: 1e15,
  }
  await database.write((tx) => grantKey(tx, key, grant))
  await gateway.open(key, grant)
  keys.push(key)
}
process.stdout.write(`${new URL(gateway.url).port} ${keys.join(' ')}\n`)
process.stdin.resume().on('end', () => {
  rmSync(folder, { recursive: true, force: true })
  process.exit()
})
