import assert from 'node:assert/strict'
import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { isRefusal } from '../core/refusal.ts'
import { defaultSettings, type FamilySettings, type OperatorSettings } from '../core/setting.ts'
import { searchPath } from '../git/fixture.ts'
import { realWorld } from '../host/world.ts'
import { createSandbox } from '../sandbox/create.ts'
import { openDatabase } from '../store/database.ts'
import { trialOf } from '../store/health.ts'
import { findAgents } from './agents.ts'
import { trialTurn } from './trial-turn.ts'

/** A program that takes Codex's place: asks what it was told to by the way it was told, and prints what Codex prints. */
const speaks = `
const flags = process.argv.join(' ')
const url = /base_url="([^"]+)"/.exec(flags)[1]
const model = process.argv[process.argv.indexOf('--model') + 1]
const answer = await fetch(url + '/responses', { method: 'POST', headers: { authorization: 'Bearer ' + process.env.TRI_AGENT_KEY, 'content-type': 'application/json' }, body: JSON.stringify({ model, store: false, input: 'trial' }) })
const text = JSON.stringify(await answer.json()).match(/"text":"([^"]*)"/)?.[1] ?? ''
console.log(JSON.stringify({ type: 'thread.started', thread_id: 't' }))
console.log(JSON.stringify({ type: 'item.completed', item: { id: '1', type: 'agent_message', text } }))
console.log(JSON.stringify({ type: 'turn.completed', usage: {} }))
`
/** One that says it is done and asked nobody. */
const mute = `console.log(JSON.stringify({ type: 'item.completed', item: { id: '1', type: 'agent_message', text: 'The trial is over.' } }))
console.log(JSON.stringify({ type: 'turn.completed', usage: {} }))`
/** One whose options have changed. */
const renamed = `console.error("error: unexpected argument '--json' found"); process.exitCode = 2`

async function scene(context: TestContext, script: string) {
  const world = realWorld()
  const folder = await mkdtemp(join(tmpdir(), 'tri-turn-'))
  context.after(() => rm(folder, { recursive: true, force: true }))
  const program = join(folder, 'client/codex.mjs')
  await mkdir(dirname(program))
  await writeFile(program, script)
  await chmod(program, 0o755)
  const family: FamilySettings = {
    agent: 'codex',
    program: null,
    baseUrl: 'https://api.example.com',
    keyFrom: { value: 'none' },
    models: { architect: 'gpt-6-sol', implementer: 'gpt-6-sol', reviewer: 'gpt-6-sol' },
  }
  const settings: OperatorSettings = { ...defaultSettings(2), rung: 'group', families: { openai: family } }
  const sandbox = await createSandbox(world, { lowest: 'group', path: searchPath, folder, rung: 'group' })
  assert.ok(!isRefusal(sandbox))
  const database = openDatabase(join(folder, 'tasks.db'))
  context.after(() => database.close())
  const located = (version: string) => ({ folder: dirname(program), argv: [process.execPath, program], version })
  const turn = (version: string) =>
    trialTurn({ world, sandbox, settings, database }, 'openai', family, located(version))
  return { turn, database, folder }
}

test('a version that speaks as its adapter thinks passes, and that is remembered by version', async (context) => {
  const { turn, database } = await scene(context, speaks)
  assert.deepEqual(await turn('0.999.0'), { failed: null })
  assert.deepEqual(await database.read((reader) => trialOf(reader, 'codex', '0.999.0')), { failed: null })
  assert.equal(await database.read((reader) => trialOf(reader, 'codex', '0.999.1')), null)
})

test('a version that asks nobody, or knows its options no longer, fails with why, and is not tried again', async (context) => {
  const silent = await scene(context, mute)
  assert.match((await silent.turn('0.999.0')).failed!, /did not ask the model/)
  const changed = await scene(context, renamed)
  const first = await changed.turn('0.999.0')
  assert.match(first.failed!, /unexpected argument '--json'/)
  await rm(join(changed.folder, 'client'), { recursive: true }) // were it started again, it would fail for another reason
  assert.deepEqual(await changed.turn('0.999.0'), first)
})

test('the daemon takes no agent that is too old, and one untested only after its trial', async (context) => {
  const world = realWorld()
  const folder = await mkdtemp(join(tmpdir(), 'tri-agents-'))
  context.after(() => rm(folder, { recursive: true, force: true }))
  const look = async (version: string, failed: string | null) => {
    const root = join(folder, version, `node_modules/@openai/codex-${process.platform}-${process.arch}`)
    const program = join(root, 'vendor/x/bin/codex')
    await mkdir(dirname(program), { recursive: true })
    await writeFile(join(root, 'package.json'), JSON.stringify({ version: `${version}-x` }))
    await writeFile(program, 'no program', { mode: 0o755 })
    const models = { architect: 'gpt-6-sol', implementer: 'gpt-6-sol', reviewer: 'gpt-6-sol' }
    const family: FamilySettings = {
      agent: 'codex',
      program: [program],
      baseUrl: 'https://x.example',
      keyFrom: { value: 'none' },
      models,
    }
    const tried: string[] = []
    const { agents, missing } = await findAgents(
      world,
      { ...defaultSettings(2), families: { openai: family } },
      {},
      folder,
      async (_, __, located) => {
        tried.push(located.version)
        return { failed }
      },
    )
    return [agents.usable, tried, missing.map((each) => each.replace(/ \(.*/, ''))]
  }
  assert.deepEqual(await look('0.169.0', 'never asked'), [['openai'], [], []])
  assert.deepEqual(await look('0.170.0', null), [['openai'], ['0.170.0'], []])
  assert.deepEqual(await look('0.171.0', 'mute'), [
    [],
    ['0.171.0'],
    ['openai: codex 0.171.0 is untested and failed its trial turn: mute'],
  ])
  assert.deepEqual(await look('0.1.0', null), [
    [],
    [],
    ['openai: codex 0.1.0 is too old, 0.163.0 is the oldest that works'],
  ])
})
