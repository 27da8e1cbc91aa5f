/** Odd repositories on the way to a landing: odd names and modes stay as they are, byte for byte; a base that is gone is named and nothing is lost. */
import assert from 'node:assert/strict'
import { chmod, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { endsWell } from './ending.ts'
import { approving, rig, writing } from './rig.ts'

test('names of 255 bytes, in other encodings and with newlines, links, executable bits and CRLF are the same after a landing', async () => {
  await using shop = await rig({ rules: [writing('Sell coffee'), approving] })
  const names = [Buffer.from('a b\n"c"'), Buffer.from([0x66, 0xfc, 0x72]), Buffer.from('x'.repeat(255))]
  for (const name of names) await writeFile(Buffer.concat([Buffer.from(`${shop.repository}/`), name]), 'one\r\ntwo\r\n')
  await symlink('nowhere/at all', join(shop.repository, 'link'))
  await shop.write('tool.sh', 'exit 0\n')
  await chmod(join(shop.repository, 'tool.sh'), 0o755)
  await shop.git('add', '--all')
  await shop.git('commit', '--quiet', '--message', 'Odd things')
  await shop.up()
  const id = await shop.add('Sell coffee')
  assert.equal((await shop.state(id, 'done', 'escalated')).phase, 'done')
  const tree = async (at: string) => (await shop.git('ls-tree', '-r', at)).split('\n') // odd bytes in quotes
  const landed = await tree('tri-agent/landing')
  assert.deepEqual(
    landed.filter((line) => !line.endsWith('\tsell-coffee.txt')),
    await tree('main'),
  )
  assert.equal(landed.length, (await tree('main')).length + 1)
  await endsWell(shop)
})

test('a base that is renamed under a live daemon is named, costs nothing, and under its new name the same task lands', async () => {
  await using shop = await rig({ rules: [writing('Sell tea'), approving] })
  await shop.up()
  await shop.git('branch', '--move', 'main', 'trunk')
  const id = await shop.add('Sell tea')
  const stopped = await shop.state(id, 'escalated', 'done')
  assert.deepEqual(
    [stopped.phase, stopped.evidence, stopped.costNanoUsd],
    ['escalated', 'there is no branch main: set base to one of: trunk', 0],
  )
  assert.equal((await shop.type('init')).code, 0)
  assert.equal((await shop.type('retry', id)).code, 0)
  assert.equal((await shop.state(id, 'done', 'escalated')).phase, 'done')
  assert.equal(await shop.git('rev-parse', 'tri-agent/landing~1'), await shop.git('rev-parse', 'trunk'))
  await endsWell(shop)
})
