/** The way out of a box and the command beside it, with a perl that opens the port at once and without one. */
import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { mkdir, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { delimiter, join } from 'node:path'
import test, { after } from 'node:test'
import { isRefusal } from '../core/refusal.ts'
import { removeTree } from './area.ts'
import { createSandbox } from './create.ts'
import { boxOf, freshArea, hear, makeFolder, path, see, shell, standOn, world } from './fixture.ts'

const folder = await makeFolder()
after(() => removeTree(folder))
const standing = await standOn('namespace', folder)
const gateway = { socket: join(folder, 'gateway'), url: '' }
const front = createServer((connection) => connection.end('the gateway'))
await new Promise<void>((resolve) => front.listen(gateway.socket, resolve))
after(() => void front.close())

/** A bash that is not shown inside keeps the quick way from being taken (create.ts). */
async function withoutPerl() {
  const bin = join(folder, 'bin')
  await mkdir(bin, { recursive: true })
  await writeFile(join(bin, 'bash'), '#!/bin/sh\nexec /bin/bash "$@"\n', { mode: 0o755 })
  const sandbox = await createSandbox(world, { path: `${bin}${delimiter}${path}`, folder, lowest: 'namespace' })
  if (isRefusal(sandbox)) throw new Error(sandbox.why)
  return sandbox
}

const noPerl = !existsSync('/usr/bin/perl') && 'there is no perl'
const ways = { perl: async () => standing, 'no perl': withoutPerl }

for (const [name, way] of Object.entries(ways)) {
  const law = (what: string, body: (start: Exclude<typeof standing, string>) => Promise<void>): void =>
    void test(
      `${name}: ${what}`,
      { skip: typeof standing === 'string' ? standing : name === 'perl' && noPerl },
      async () => {
        const sandbox = await way()
        if (typeof sandbox === 'string') throw new Error('skipped')
        await body(sandbox)
      },
    )

  law('the port is open when the first instruction is executed', async (sandbox) => {
    const argv = ['/bin/bash', '-c', 'exec cat <>/dev/tcp/127.0.0.1/8701']
    const seen = await see(sandbox, boxOf(await freshArea(folder), argv, { gateway }))
    assert.deepEqual(seen, { stdout: 'the gateway', stderr: '', code: 0, signal: null, survivors: 0 })
  })

  law('a perl is the first program where there is one', async (sandbox) => {
    const seen = await see(sandbox, shell(await freshArea(folder), 'cat /proc/2/comm', 'sh', { gateway }))
    assert.equal(seen.stdout === 'perl\n', name === 'perl', seen.stdout)
  })

  law('the program holds its three descriptors and no door, no order', async (sandbox) => {
    const script = 'for n in 0 1 2 3 4 5 6 7 8 9 10 11 12; do [ ! -e /proc/$$/fd/$n ] || echo $n; done'
    const seen = await see(sandbox, shell(await freshArea(folder), script, 'sh', { gateway }))
    assert.equal(seen.stdout, '0\n1\n2\n')
  })

  law('what cannot be started is said, and how a program died', async (sandbox) => {
    const missing = await see(sandbox, boxOf(await freshArea(folder), ['/nowhere/agent'], { gateway }))
    assert.deepEqual([missing.code, missing.stderr.split(':')[0]], [127, 'cannot start /nowhere/agent'])
    const died = await see(sandbox, shell(await freshArea(folder), 'kill -SEGV $$', 'sh', { gateway }))
    assert.deepEqual([died.code, died.survivors], [139, 0])
  })

  law('an order that comes before the forwarder is there reaches the program', async (sandbox) => {
    const script = 'trap "exit 7" TERM; echo up; while :; do sleep 0.02; done'
    const contained = await sandbox.start(shell(await freshArea(folder), script, 'sh', { gateway }))
    await hear(contained, 'up')
    contained.stop('SIGTERM')
    assert.deepEqual(await contained.exit, { code: 7, signal: null })
  })
}

test(
  'where the forwarder ends first, all ends',
  { skip: typeof standing === 'string' ? standing : noPerl },
  async () => {
    if (typeof standing === 'string') throw new Error('skipped')
    // its parent has the same words in its own line, but not this one
    const script = `until found=$(grep -lxz 'doo[r]' /proc/[0-9]*/cmdline 2>/dev/null); do :; done
    kill -9 $(echo $found | cut -d/ -f3); sleep 60`
    const seen = await see(standing, shell(await freshArea(folder), script, 'sh', { gateway }))
    assert.deepEqual([seen.code, seen.stderr, seen.survivors], [1, 'the way to the gateway ended\n', 0])
  },
)
