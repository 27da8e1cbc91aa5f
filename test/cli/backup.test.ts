/** backup as a person types it: with the daemon down, to another place, listed, looked at, refused. */
import assert from 'node:assert/strict'
import { existsSync, statSync, truncateSync, writeFileSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { after, test } from 'node:test'
import { bundle, person } from '../cli-rig.ts'

const built = await bundle()
after(() => built[Symbol.asyncDispose]())

test('backup takes one, says where it is and what is not in it, and list and --verify know it', async () => {
  await using ada = await person(built.program)
  await ada.type(['init'])
  await ada.type(['add', 'Sell tea'])
  assert.equal((await ada.type(['backup', 'list'])).stdout, 'No backup yet: tri-agent backup\n')
  const { code, stdout, stderr } = await ada.type(['backup'])
  assert.deepEqual([code, stderr], [0, ''])
  const file = stdout.split('\n')[0]!
  assert.equal(dirname(file), join(ada.paths.stateFolder, 'backups'))
  assert.match(stdout, /up to event 2, in \d+\.\d s\. The key of the seals \(.*tasks\.db\.key\) is not in it/)
  assert.match(
    (await ada.type(['backup', 'list'])).stdout,
    new RegExp(`0\\.\\d MB +2 +\\d+ +backup +${basename(file)}`),
  )
  const report = {
    file,
    ok: true,
    schema: (await ada.json(['db', 'migrate']))['to'],
    events: 2,
    looked: ['pages', 'references', 'schema', 'log', 'tables'].map((what) => ({ what, problems: [] })),
  }
  for (const said of ['latest', basename(file), file])
    assert.deepEqual(await ada.json(['backup', '--verify', said]), report)
  assert.match(
    (await ada.type(['backup', '--verify', 'latest'])).stdout,
    /^pages +whole\n(.+ +whole\n){4}2 events\. It can be restored: tri-agent restore \//,
  )
})

test('backup --to writes where one says, over nothing, and what is no good is named with exit code 1', async () => {
  await using ada = await person(built.program)
  assert.match((await ada.type(['backup'])).stderr, /nothing is set up[^]*→ tri-agent init/)
  await ada.type(['init'])
  const to = join(ada.home, 'mine.db')
  assert.equal((await ada.json(['backup', '--to', '../mine.db']))['file'], to)
  assert.deepEqual([statSync(to).mode & 0o777, existsSync(`${to}.anchors`)], [0o600, true])
  const again = await ada.type(['backup', '--to', to])
  assert.equal(ada.still(again.stderr), 'tri-agent: ~/mine.db is there already\n  → name another file\n')
  const nowhere = await ada.type(['backup', '--to', '../mnt/mine.db'])
  assert.deepEqual(
    [nowhere.code, ada.still(nowhere.stderr)],
    [1, 'tri-agent: there is no folder ~/mnt\n  → make it, or mount the disk that belongs there\n'],
  )
  const none = await ada.type(['backup', '--verify', 'nothing.db'])
  assert.deepEqual(
    [none.code, none.stderr],
    [1, 'tri-agent: there is no backup nothing.db\n  → tri-agent backup list\n'],
  )
  truncateSync(to, 30_000)
  const cut = await ada.type(['backup', '--verify', to])
  assert.equal(cut.code, 1)
  assert.match(cut.stdout, /pages +1 problem\n.*malformed\nIt is not to be trusted: tri-agent backup list names others/)
  writeFileSync(to, 'a shopping list, which is long enough to be looked at as a database '.repeat(20))
  assert.match((await ada.type(['backup', '--verify', to])).stdout, /file is not a database/)
})
