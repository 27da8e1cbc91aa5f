/** Which processes have to do with a folder: by where they stand, what they were told and what they know; never ourselves, and nobody once they have ended. */
import assert from 'node:assert/strict'
import { mkdtemp, realpath, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { describeProcess, takeCensus } from './census.ts'
import { hasProc } from './proc.ts'
import { realWorld } from './world.ts'

const { spawn } = realWorld()

test(
  'a process is found by its working folder, its words or its environment, and not once it is dead',
  { skip: !hasProc() && 'no /proc' },
  async () => {
    const folder = await realpath(await mkdtemp(join(tmpdir(), 'tri-census-')))
    try {
      const sleep = (args: string[], cwd: string, env: Record<string, string>) =>
        spawn({ file: 'sleep', args: ['60', ...args], cwd, env })
      const script = { file: 'sh', args: ['-c', 'sleep 60; :', folder], cwd: '/', env: {} }
      const ours = [
        await sleep([], folder, {}),
        await spawn(script),
        await sleep([], '/', { WHERE: join(folder, 'x') }),
      ]
      const other = await sleep([], '/', {})
      const found = takeCensus(folder, false).map(({ pid }) => pid)
      assert.deepEqual(
        ours.map(({ pid }) => found.includes(pid)),
        [true, true, true],
      )
      assert.ok(!found.includes(other.pid) && !found.includes(process.pid))
      assert.match(
        describeProcess(takeCensus(folder, false).find(({ pid }) => pid === ours[1]!.pid)!),
        /^pid \d+ sh -c sleep 60; : /,
      )
      for (const child of [...ours, other]) child.signal('SIGKILL')
      for (const child of [...ours, other]) await child.exit
      assert.deepEqual(takeCensus(folder, false), [])
    } finally {
      await rm(folder, { recursive: true })
    }
  },
)
