/** A large repository, from the first look to a landing, and what that takes beside plain git on the same machine. For a test, and whole for a bench. */
import assert from 'node:assert/strict'
import { randomFillSync } from 'node:crypto'
import { once } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import { mkdtemp, realpath } from 'node:fs/promises'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import { childrenCpuMs, cpuMsOf } from '../../bench/measure.ts'
import { stateOf } from '../../src/core/task.ts'
import { endsWell } from './ending.ts'
import { approving, rig, world, writing, type Rig } from './rig.ts'

export type Size = { files: number; historyBytes: number }

/** Writes what `git fast-import` reads: content that no compression makes smaller, replaced again and again, then many small files. */
async function* history({ files, historyBytes }: Size): AsyncGenerator<string | Buffer> {
  const piece = 4 * 1024 ** 2
  const who = 'committer Ada <ada@localhost> 1700000000 +0000\n'
  const begin = (message: string) => `commit refs/heads/main\n${who}data ${message.length}\n${message}\n`
  const content = randomFillSync(Buffer.alloc(piece))
  for (let n = 0; n < historyBytes / piece; n += 1) {
    randomFillSync(content, 0, 64) // another blob, and no delta either: nothing else is looked at
    yield `${begin(`Part ${n}`)}${n === 0 ? 'from refs/heads/main^0\n' : ''}M 100644 inline movie.bin\ndata ${piece}\n`
    yield Buffer.from(content)
    yield '\n'
  }
  yield `${begin('Many files')}D movie.bin\n`
  for (let n = 0; n < files; n += 1) {
    const text = `file ${n}\n`
    yield `M 100644 inline many/${Math.floor(n / 250)}/${n}.txt\ndata ${text.length}\n${text}`
  }
}

async function fill(shop: Rig, size: Size): Promise<void> {
  const stdin = new PassThrough()
  const settings = ['core.compression=0', 'pack.depth=0', 'core.fsync=none', 'fastimport.unpackLimit=0']
  const child = await world.spawn({
    file: 'git',
    args: [...settings.flatMap((each) => ['-c', each]), 'fast-import', '--quiet', '--force', '--depth=0'],
    cwd: shop.repository,
    env: { ...shop.env, GIT_CONFIG_NOSYSTEM: '1' },
    stdin,
  })
  let said = ''
  child.stderr.on('data', (bytes: Buffer) => (said += bytes.toString('utf8')))
  child.stdout.resume()
  for await (const part of history(size)) if (!stdin.write(part)) await once(stdin, 'drain')
  stdin.end()
  assert.deepEqual(await child.exit, { code: 0, signal: null }, said)
}

/** The most memory this process has had since `clearPeak`, in bytes (proc(5): VmHWM). */
const peakBytes = () => Number(/^VmHWM:\s+(\d+) kB$/m.exec(readFileSync('/proc/self/status', 'utf8'))![1]) * 1024
const clearPeak = () => writeFileSync('/proc/self/clear_refs', '5')

const allCpuMs = () => childrenCpuMs() + cpuMsOf(process.pid)

const kilobytesOf = async (shop: Rig, gitDir: string) => {
  const counted = await shop.git(`--git-dir=${gitDir}`, 'count-objects', '-v')
  return Number(/^size-pack: (\d+)$/m.exec(counted)![1]) + Number(/^size: (\d+)$/m.exec(counted)![1])
}

export type Taken = {
  /** CPU of plain git for one more work tree of it, in milliseconds. */
  plainMs: number
  /** CPU of everything from `add` to the landed commit: the mirror, a clone, two checkouts, a gate, two agents. */
  taskMs: number
  /** What this process, the daemon in it, came to hold at most above what it held before. */
  memoryBytes: number
  sourceKb: number
  mirrorKb: number
}

/** Fills a repository, has one task done in it by two families and a person, and says what that took. */
export async function workOn(size: Size, folder: string, note: (text: string) => void = () => {}): Promise<Taken> {
  await using shop = await rig({
    home: await realpath(await mkdtemp(join(folder, 'tri-e2e-'))),
    patienceMs: 600_000,
    families: ['anthropic', 'openai'],
    rules: [writing('Sell tea'), approving],
    config: { unattended: false },
  })
  note('filling the repository')
  await fill(shop, size)
  const plain = join(shop.home, 'plain')
  const before = childrenCpuMs()
  await shop.git('worktree', 'add', '--quiet', '--detach', plain, 'main')
  const plainMs = childrenCpuMs() - before
  await shop.git('worktree', 'remove', '--force', plain)
  assert.equal((await shop.type('init')).code, 0)
  clearPeak()
  const [heldBytes, cpuMs] = [peakBytes(), allCpuMs()]
  note('one task')
  await shop.up()
  const id = await shop.add('Sell tea')
  assert.equal(stateOf(await shop.state(id, 'awaiting-approval', 'escalated')), 'awaiting-approval')
  assert.equal((await shop.type('approve', id)).code, 0)
  assert.equal((await shop.state(id, 'done', 'escalated')).phase, 'done')
  const taken = { taskMs: allCpuMs() - cpuMs, memoryBytes: peakBytes() - heldBytes }
  assert.equal(await shop.git('diff', '--name-only', 'main', 'tri-agent/landing'), 'sell-tea.txt')
  assert.equal((await shop.git('ls-tree', '-r', 'tri-agent/landing')).split('\n').length, size.files + 4)
  await endsWell(shop) // which looks at the repository once more, after the landing
  const sourceKb = await kilobytesOf(shop, join(shop.repository, '.git'))
  const mirrorKb = await kilobytesOf(shop, join(shop.paths.repos, shop.repo, 'mirror.git'))
  return { plainMs, ...taken, sourceKb, mirrorKb }
}
