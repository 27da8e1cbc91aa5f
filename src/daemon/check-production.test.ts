import assert from 'node:assert/strict'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { ok, warn, type Check } from '../core/check.ts'
import { defaultSettings } from '../core/setting.ts'
import { store } from '../host/key-store.ts'
import { findPaths } from '../host/path.ts'
import { realWorld, type World } from '../host/world.ts'
import { examineProduction, judgeSize } from './check-production.ts'

test('8 GB and 4 cores are asked for, a tenth of the memory below is well', () => {
  const states = (gigabytes: number, cores: number) =>
    judgeSize({ memoryBytes: gigabytes * 1024 ** 3, cores }).map(({ state }) => state)
  assert.deepEqual(
    [states(8, 4), states(7.3, 16), states(7, 4), states(64, 3)],
    [
      ['ok', 'ok'],
      ['ok', 'ok'],
      ['missing', 'ok'],
      ['ok', 'missing'],
    ],
  )
})

test('the checklist of going live: old keys, limits not asked, an open address, a known password and the backup are said', async (context) => {
  const home = await mkdtemp(join(tmpdir(), 'tri-agent-production-'))
  context.after(() => rm(home, { recursive: true, force: true }))
  const env = { HOME: home }
  const paths = findPaths(env)
  const at = (ms: number): World => ({ ...realWorld(), clock: { now: () => ms, mono: () => 0 } })
  await store({ world: at(0), env, folder: paths.keys }, 'anthropic', { key: 'sk-ant-0123456789' })
  const look = async (days: number, more: { password?: string; host?: string; live?: boolean; checks?: Check[] }) => {
    const settings = { ...defaultSettings(4), http: { host: more.host ?? '127.0.0.1', port: 1 } }
    const found = await examineProduction({
      world: at(days * 86_400_000),
      env: more.password === undefined ? env : { ...env, GRAFANA_PASSWORD: more.password },
      paths,
      settings,
      live: more.live ?? false,
      checks: more.checks ?? [],
    })
    return Object.fromEntries(found.slice(2).map(({ name, state }) => [name.replace('production ', ''), state]))
  }
  assert.deepEqual(await look(89, { live: true, checks: [ok('live anthropic', '')] }), {
    keys: 'ok',
    'rate limits': 'ok',
    address: 'ok',
    password: 'ok',
    backup: 'warning',
  })
  assert.deepEqual(
    await look(91, { password: 'Admin', host: '0.0.0.0', live: true, checks: [warn('live openai', '')] }),
    {
      keys: 'warning',
      'rate limits': 'warning',
      address: 'warning',
      password: 'missing',
      backup: 'warning',
    },
  )
  assert.equal((await look(1, {}))['rate limits'], 'warning', 'nobody asked')
  await mkdir(join(paths.stateFolder, 'backups'), { recursive: true })
  await writeFile(join(paths.stateFolder, 'backups/tasks-1970-01-11T00-00-00-000Z.db'), '')
  assert.deepEqual([(await look(11.9, {}))['backup'], (await look(12.1, {}))['backup']], ['ok', 'warning'])
})
