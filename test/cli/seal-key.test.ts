/** The key of the log's seals is lost, as a person sees it: what is refused, what still answers, and how it goes on. */
import assert from 'node:assert/strict'
import { existsSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { mkdir, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { after, test } from 'node:test'
import { bundle, person, type Person } from '../cli-rig.ts'

const built = await bundle()
after(() => built[Symbol.asyncDispose]())

/** With a family that could start, so that `up` gets as far as the database. */
async function settled(ada: Person): Promise<string> {
  const program = JSON.stringify([process.execPath, join(dirname(built.program), 'scripted-agent.js')])
  const family = `{ agent: scripted, program: ${program}, baseUrl: "http://127.0.0.1:9", keyFrom: { value: none }, models: gpt-6-sol }`
  await mkdir(dirname(ada.paths.configFile), { recursive: true })
  const text = `rung: group\nhttp: { port: 0 }\nfamilies:\n  openai: ${family}\n`
  await writeFile(ada.paths.configFile, text, { mode: 0o600 })
  await ada.type(['init'])
  await ada.type(['add', 'Sell tea'])
  return `${ada.paths.database}.key`
}

const copyBack =
  'put it back from where you keep a copy; where there is none, what goes on without it says: tri-agent log adopt'

test('without the key nothing is written, what only looks answers, and doctor says it; put back, all goes on', async () => {
  await using ada = await person(built.program)
  const key = await settled(ada)
  renameSync(key, `${key}.away`)
  const refused = `tri-agent: the key of the log's seals is gone: it lay at ${key}\n  → ${copyBack}\n`
  for (const args of [['add', 'Sell coffee'], ['hold', '0'], ['pause'], ['up', '--trust'], ['log', 'verify']]) {
    if (args[0] === 'hold') args[1] = ((await ada.json(['list'])) as { tasks: { id: string }[] }).tasks[0]!.id
    const typed = await ada.type(args)
    assert.deepEqual([typed.code, typed.stderr.slice(-refused.length)], [1, refused], args.join(' '))
  }
  assert.equal(existsSync(key), false, 'and no other key was made')
  for (const args of [
    ['status'],
    ['list'],
    ['log'],
    ['backup'],
    ['rebuild', '--verify'],
    ['db', 'shell', '-c', 'select 1'],
  ])
    assert.equal((await ada.type(args)).code, 0, args.join(' '))
  const { checks } = (await ada.json(['doctor'])) as { checks: { name: string; state: string; mend: string }[] }
  const { state, mend } = checks.find(({ name }) => name === 'seal key')!
  assert.deepEqual([state, mend], ['missing', 'put your copy back; where there is none: tri-agent log adopt'])
  const unsure = await ada.type(['log', 'adopt'])
  assert.deepEqual([unsure.code, existsSync(key)], [1, false])
  assert.match(
    unsure.stderr,
    /^tri-agent: 2 events up to event 2 were sealed with the key [0-9a-f]{16}\. .*\n {2}→ put the copy back at .*; else: tri-agent log adopt --yes\n$/,
  )
  renameSync(`${key}.away`, key)
  assert.equal((await ada.type(['add', 'Sell coffee'])).code, 0)
  assert.equal((await ada.json(['log', 'verify']))['ok'], true)
  const needless = await ada.type(['log', 'adopt', '--yes'])
  assert.deepEqual([needless.code, needless.stderr.split('\n')[1]], [1, '  → tri-agent log verify'])
})

test('another key in its place is refused too; with log adopt it goes on, and the log says who, since when, and from where on', async () => {
  await using ada = await person(built.program)
  const key = await settled(ada)
  await ada.type(['backup'])
  await ada.type(['add', 'Sell coffee'])
  writeFileSync(key, `${'a'.repeat(64)}\n`)
  const other = await ada.type(['add', 'Sell milk'])
  assert.match(
    other.stderr,
    /^tri-agent: the log is sealed with the key [0-9a-f]{16}, and at \S+tasks\.db\.key lies another one, [0-9a-f]{16}\n {2}→ put that one back /,
  )
  rmSync(key)
  const adopted = await ada.json(['log', 'adopt', '--yes'])
  assert.deepEqual([adopted['last'], (adopted['before'] as string[]).length], [3, 1])
  assert.match(readFileSync(key, 'utf8'), /^[0-9a-f]{64}\n$/)
  assert.equal((await ada.type(['add', 'Sell milk'])).code, 0)
  const verified = await ada.type(['log', 'verify'])
  assert.equal(verified.code, 0)
  assert.match(
    verified.stdout,
    /^5 events .*; all as they were found or written\.\nEvents 1 to 3 are as they were found .*, when person:\S+ went on without [0-9a-f]{16}: .* nobody can prove\. All later ones are\.\n$/,
  )
  assert.match(
    (await ada.type(['log', '--type', 'log.adopted'])).stdout,
    /the log goes on under the key [0-9a-f]{16}; up to event 3 /,
  )
  assert.equal((await ada.type(['rebuild', '--verify'])).code, 0)

  const older = await ada.type(['backup', '--verify', 'latest'])
  assert.equal(older.code, 1)
  assert.match(
    older.stdout,
    /other-key 1-1: [^]*Put the key of that log back, then look again\. Where there is no copy of it: tri-agent restore \S+ --adopt\n$/,
  )
  assert.match(
    (await ada.type(['restore', 'latest'])).stderr,
    /→ put the key of that log at \S+, then try again; .*: tri-agent restore \S+ --adopt\n$/,
  )
  const restored = await ada.type(['restore', 'latest', '--adopt'])
  assert.equal(restored.code, 0, restored.stderr)
  assert.equal((await ada.json(['log', 'verify']))['ok'], true)
  assert.equal((await ada.type(['add', 'Sell milk'])).code, 0)
  assert.equal((await ada.type(['backup', '--verify', (await ada.json(['backup']))['file'] as string])).code, 0)
})
