import assert from 'node:assert/strict'
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { isRefusal } from '../core/refusal.ts'
import { loadConfig } from './config.ts'
import { store } from './key-store.ts'
import { readKey } from './key.ts'
import { type Env, findPaths } from './path.ts'
import { realWorld } from './world.ts'

test('a key is read from where it was said to be, and is never something that is none', async (context) => {
  const folder = await mkdtemp(join(tmpdir(), 'tri-agent-key-'))
  context.after(() => rm(folder, { recursive: true, force: true }))
  const file = join(folder, 'key')
  await writeFile(file, 'from-file\n', { mode: 0o600 })
  const ports = (env: Env) => ({ world: realWorld(), env, folder: join(folder, 'keys') })
  assert.deepEqual(await readKey({ file }, ports({})), { key: 'from-file' })
  assert.deepEqual(await readKey({ env: 'K' }, ports({ K: ' from-env ' })), { key: 'from-env' })
  await chmod(file, 0o644)
  const no = await Promise.all([
    readKey({ file }, ports({})),
    readKey({ file: join(folder, 'none') }, ports({})),
    readKey({ env: 'K' }, ports({})),
    readKey({ value: 'two words' }, ports({})),
    readKey({ stored: 'anthropic' }, ports({})),
  ])
  assert.deepEqual(
    no.map((each) => isRefusal(each) && each.refused),
    ['config-unsafe', 'key-missing', 'key-missing', 'key-missing', 'key-missing'],
  )
})

test('a stored key is used where no variable is set, also for a variable the file names, and never in place of a file', async (context) => {
  const home = await mkdtemp(join(tmpdir(), 'tri-agent-stored-'))
  context.after(() => rm(home, { recursive: true, force: true }))
  const ports = { world: realWorld(), env: { HOME: home }, folder: findPaths({ HOME: home }).keys }
  for (const name of ['anthropic', 'openai', 'google', 'mistral']) await store(ports, name, { key: `stored-${name}` })
  const text = `
families:
  anthropic: { models: a }
  openai: { keyFrom: { env: WORK_KEY }, models: o }
  google: { keyFrom: { file: /keys/google }, models: g }
  mistral: { agent: opencode, baseUrl: https://api.example.com, models: m }
`
  const file = join(home, 'config.yaml')
  await writeFile(file, text)
  const sources = async (env: Env) => {
    const loaded = await loadConfig({ file, env: { HOME: home, ...env } })
    assert.ok(!isRefusal(loaded), JSON.stringify(loaded))
    const { settings, origins } = loaded
    const from = (name: string) =>
      origins.find(({ key }) => key === `families.${name}.keyFrom`)!.origin.replace(file, 'FILE')
    return Object.entries(settings.families).map(([name, { keyFrom }]) => [name, keyFrom, from(name)])
  }
  assert.deepEqual(await sources({}), [
    ['anthropic', { stored: 'anthropic' }, 'keys set'],
    ['openai', { stored: 'openai' }, 'keys set'],
    ['google', { file: '/keys/google' }, 'file FILE:5'],
    ['mistral', { stored: 'mistral' }, 'keys set'],
  ])
  assert.deepEqual((await sources({ ANTHROPIC_API_KEY: 'k', WORK_KEY: 'k' })).slice(0, 2), [
    ['anthropic', { env: 'ANTHROPIC_API_KEY' }, 'env ANTHROPIC_API_KEY'],
    ['openai', { env: 'WORK_KEY' }, 'file FILE:4'],
  ])
})
