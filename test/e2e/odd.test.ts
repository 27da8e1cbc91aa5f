/** Odd repositories on the way to a landing: odd names and modes stay as they are, byte for byte; a base that is gone is named and nothing is lost. */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { chmod, mkdir, readdir, rename, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { capture } from '../../src/host/process.ts'
import { endsWell } from './ending.ts'
import { approving, contained, implementing, rig, world, writing } from './rig.ts'

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

/** A gate that needs what the tree only names: the submodule's file, and the content of a pointer. */
const gates = [{ name: 'test', command: 'grep -q tea lib/goods.txt && grep -q painted art.bin' }]

async function withOutside(shop: Awaited<ReturnType<typeof rig>>, content: string): Promise<void> {
  const sha256 = createHash('sha256').update(content).digest('hex')
  await shop.git('init', '--quiet', 'lib')
  await shop.write('lib/goods.txt', 'tea\n')
  await shop.git('-C', 'lib', 'add', '--all')
  await shop.git('-C', 'lib', 'commit', '--quiet', '--message', 'Goods')
  await shop.write('.gitmodules', '[submodule "lib"]\n\tpath = lib\n\turl = ../lib\n')
  await shop.write('.gitattributes', '*.bin filter=lfs\n')
  await shop.write(
    'art.bin',
    `version https://git-lfs.github.com/spec/v1\noid sha256:${sha256}\nsize ${content.length}\n`,
  )
  await shop.git('add', '--all')
  await shop.git('submodule', '--quiet', 'absorbgitdirs')
  await shop.git('commit', '--quiet', '--message', 'Name what lies elsewhere')
  await shop.write(`.git/lfs/objects/${sha256.slice(0, 2)}/${sha256.slice(2, 4)}/${sha256}`, content)
}

test('gates and agents have the files of submodules, no agent changes them, and what was in Git LFS is there for gates', async () => {
  const look =
    '{ cat lib/goods.txt art.bin; echo coffee >> lib/goods.txt || echo "lib is closed"; } > made.txt 2> /dev/null'
  await using shop = await rig({
    rules: [implementing('Sell tea', { shell: look }, { say: 'Wrote made.txt.' }), approving],
    yaml: { gates },
  })
  await withOutside(shop, 'painted\n')
  await shop.up()
  const id = await shop.add('Sell tea')
  assert.equal((await shop.state(id, 'done', 'escalated')).phase, 'done')
  const seen = await shop.git('show', 'tri-agent/landing:made.txt')
  assert.match(seen, /^tea\nversion https:\/\/git-lfs/, 'authors see what git has')
  if (contained('no agent changes a submodule').skip === false) assert.match(seen, /lib is closed/)
  assert.deepEqual((await shop.git('diff', '--name-only', 'main', 'tri-agent/landing')).split('\n'), ['made.txt'])
  await endsWell(shop)
})

test('what is not in the clone is named where a gate is red for it; once it is there, the task lands', async () => {
  await using shop = await rig({
    rules: [implementing('Sell tea', { shell: 'echo tea >> tea.txt' }, { say: 'Wrote tea.txt.' }), approving],
    yaml: { gates },
    config: { retry: { attempts: 1 } },
  })
  await withOutside(shop, 'painted\n')
  await rename(`${shop.repository}/.git/modules`, `${shop.home}/modules`)
  await rename(`${shop.repository}/.git/lfs`, `${shop.home}/lfs`)
  await shop.up()
  const id = await shop.add('Sell tea')
  assert.equal((await shop.state(id, 'done', 'escalated')).phase, 'escalated')
  const shown = (await shop.show(id)).replaceAll(/\s+/g, ' ')
  assert.match(shown, /submodules: not in this clone: lib; .*\(git submodule update --init --recursive\)/)
  assert.match(shown, /Git LFS: not in this clone: the contents of art\.bin; .*\(git lfs fetch\)/)
  await rename(`${shop.home}/modules`, `${shop.repository}/.git/modules`)
  await rename(`${shop.home}/lfs`, `${shop.repository}/.git/lfs`)
  assert.equal((await shop.type('retry', id)).code, 0)
  assert.equal((await shop.state(id, 'done', 'escalated')).phase, 'done')
  await endsWell(shop)
})

test("empty folders are nothing to git: the user keeps theirs, one that an agent makes is no change, and one in a tree is in nobody's way", async () => {
  await using shop = await rig({
    rules: [
      implementing('Sell nothing', { shell: 'mkdir -p shelf/empty' }, { say: 'Made a shelf.' }),
      writing('Sell tea'),
      approving,
    ],
  })
  await mkdir(join(shop.repository, 'mine/empty'), { recursive: true })
  const empty = await shop.git('hash-object', '-w', '-t', 'tree', '/dev/null')
  const entries = `${await shop.git('ls-tree', 'HEAD')}\n040000 tree ${empty}\thollow\n`
  const made = await capture(world.spawn, {
    file: 'git',
    args: ['mktree'],
    cwd: shop.repository,
    env: shop.env,
    stdin: entries,
  })
  const commit = await shop.git('commit-tree', made.stdout.trim(), '-p', 'HEAD', '-m', 'A hollow folder')
  await shop.git('update-ref', 'refs/heads/main', commit)
  await shop.up()
  const [nothing, tea] = [await shop.add('Sell nothing'), await shop.add('Sell tea')]
  assert.equal((await shop.state(nothing, 'done', 'escalated', 'cancelled')).phase, 'escalated')
  assert.equal((await shop.state(tea, 'done', 'escalated')).phase, 'done')
  const files = async (at: string) => (await shop.git('ls-tree', '-r', at)).split('\n')
  assert.deepEqual(
    (await files('tri-agent/landing')).filter((line) => !line.endsWith('\tsell-tea.txt')),
    await files('main'),
  )
  assert.deepEqual(await readdir(join(shop.repository, 'mine')), ['empty'])
  await endsWell(shop)
})
