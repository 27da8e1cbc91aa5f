/** reap and clean, as a person types them with no daemon up: they say first, and take only what nobody needs. */
import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { mkdir, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { openDatabase } from '../../src/store/database.ts'
import { offerLease } from '../../src/store/lease.ts'
import { bundle, person, world, type Person } from '../cli-rig.ts'

const { program, ...built } = await bundle()
after(() => built[Symbol.asyncDispose]())

const old = async (path: string, days: number) => {
  const seconds = world.clock.now() / 1000 - days * 86_400
  await utimes(path, seconds, seconds)
}

/** A machine with an area of a dead daemon, a layer that is whole, a store of nobody, and a transcript that is young. */
async function littered(): Promise<Person & { at: Record<'area' | 'layer' | 'store' | 'young' | 'aged', string> }> {
  const ada = await person(program)
  await ada.type(['init', '--yes'])
  const { areas, layers, repos, transcripts } = ada.paths
  const at = {
    area: join(areas, 'att_lost'),
    layer: join(layers, 'abc'),
    store: join(repos, 'repo_lost'),
    young: join(transcripts, 'att_young.jsonl'),
    aged: join(transcripts, 'att_aged.jsonl'),
  }
  for (const folder of [at.area, at.layer, at.store]) await mkdir(folder)
  await writeFile(join(at.area, 'file'), Buffer.alloc(200_000))
  for (const file of [at.young, at.aged, join(at.layer, 'manifest.json')]) await writeFile(file, '{}')
  await old(at.aged, 8)
  await old(join(at.layer, 'manifest.json'), 1)
  await old(at.layer, 1)
  // what others have left in the machine's temporary folder is not this test's
  const type: Person['type'] = (args, how = {}) => ada.type(args, { ...how, env: { TMPDIR: ada.home } })
  const json: Person['json'] = async (args) => JSON.parse((await type([...args, '--json'])).stdout) as never
  return { ...ada, type, json, at }
}

type Found = { found: { kind: string; name: string; bytes: number }[]; removed: { name: string }[]; bytes: number }
const names = (list: readonly { name: string }[]) => list.map(({ name }) => name).toSorted()

test('reap says what is left and why, and takes it when told', async () => {
  await using ada = await littered()
  const said = (await ada.json(['reap', '--dry-run'])) as unknown as Found
  assert.deepEqual(names(said.found), ['att_aged.jsonl', 'att_lost'])
  assert.ok(said.bytes >= 200_000, `${said.bytes} bytes`)
  assert.ok(existsSync(ada.at.area) && existsSync(ada.at.aged), 'a dry run takes nothing')
  const { stdout } = await ada.type(['reap', '--dry-run'])
  assert.match(stdout, /^area +\d+ KB +att_lost +no attempt under way has this folder$/m)
  assert.match(stdout, /tri-agent reap$/m)
  const done = (await ada.json(['reap'])) as unknown as Found
  assert.deepEqual(names(done.removed), ['att_aged.jsonl', 'att_lost'])
  assert.deepEqual(
    [ada.at.area, ada.at.aged, ada.at.layer, ada.at.store, ada.at.young].map((path) => existsSync(path)),
    [false, false, true, true, true],
  )
  assert.match((await ada.type(['log'])).stdout, /removed 2 leftovers \(1 that nobody accounted for/)
  assert.equal((await ada.type(['reap'])).stdout, 'Nothing is left over.\n')
})

test('reap leaves the work of an agent that had finished when its daemon died to the next daemon', async () => {
  await using ada = await littered()
  const done = join(ada.paths.areas, 'att_done')
  await mkdir(done)
  await writeFile(join(done, 'finished.json'), '{}')
  assert.deepEqual(
    names(((await ada.json(['reap'])) as unknown as Found).removed).includes('att_done'),
    true,
    'nobody’s',
  )
  await mkdir(done)
  await writeFile(join(done, 'finished.json'), '{}')
  const database = openDatabase(ada.paths.database)
  const lease = { attempt: 'att_done', task: 'task_1', token: 1, epoch: 1 }
  await database.write((tx) => offerLease(tx, lease, 0, 90_000))
  database.close()
  assert.equal((await ada.type(['reap'])).stdout, 'Nothing is left over.\n')
  assert.ok(existsSync(done))
})

test('clean says what it would free, and does it only with --yes', async () => {
  await using ada = await littered()
  const asked = await ada.type(['clean'])
  assert.match(asked.stdout, /Nothing was removed. To remove all of it: tri-agent clean --yes/)
  assert.ok(existsSync(ada.at.layer) && existsSync(ada.at.store), 'asking takes nothing')
  const done = (await ada.json(['clean', '--yes'])) as unknown as Found
  assert.deepEqual(names(done.removed), ['abc', 'att_aged.jsonl', 'att_lost', 'repo_lost'])
  assert.ok(existsSync(ada.at.young), 'a transcript whose task nobody knows is kept for its time')
  assert.equal((await ada.type(['clean'])).stdout, 'There is nothing to remove.\n')
})
