/** A gateway in a process of its own, to be killed: opens attempts before the provider at the URL given, and says where it is and their keys. */
import { join } from 'node:path'
import { openAttempts } from '../../bench/overshoot.ts'
import { defaultLimits } from '../../src/core/budget.ts'
import { createGateway } from '../../src/gateway/gateway.ts'
import { loadPrices } from '../../src/gateway/prices.ts'
import { openDatabase } from '../../src/store/database.ts'
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
const keys = await openAttempts({ database, gateway }, Number(streams), { limitNanoUsd: Number(limit) })
process.stdout.write(`${JSON.stringify({ url: gateway.url, keys })}\n`)
