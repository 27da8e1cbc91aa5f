/** What is taken out of the environment is gone from what the kernel shows of it, too. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'

const program = `
  import { takeOut } from ${JSON.stringify(join(import.meta.dirname, 'environ.ts'))}
  await new Promise((resolve) => process.stdin.once('data', resolve))
  const kept = { ...process.env }
  const left = takeOut(['A_KEY', 'EMPTY', 'ABSENT'])
  console.log(JSON.stringify({ left, kept: kept.A_KEY, now: process.env.A_KEY ?? null, path: process.env.PATH, other: process.env.A_KEY_TOO }))
  process.stdin.resume()
`

test(
  'a key that was taken out is in no environment any more, and everything else is as it was',
  { skip: process.platform !== 'linux' && 'there is no /proc' },
  async () => {
    const env = {
      FIRST: 'x=y',
      A_KEY: 'sk-canary-ü-0123456789',
      EMPTY: '',
      A_KEY_TOO: 'of another',
      PATH: '/usr/bin:/bin',
    }
    const child = spawn(process.execPath, ['--input-type=module-typescript', '--eval', program], {
      env,
      stdio: ['pipe', 'pipe', 'inherit'],
    })
    try {
      const before = readFileSync(`/proc/${child.pid}/environ`, 'utf8')
      child.stdin.write('now\n')
      const [line] = (await once(child.stdout, 'data')) as [Buffer]
      assert.deepEqual(JSON.parse(line.toString()), {
        left: [],
        kept: env.A_KEY,
        now: null,
        path: env.PATH,
        other: env.A_KEY_TOO,
      })
      const after = readFileSync(`/proc/${child.pid}/environ`, 'utf8')
      assert.equal(before.includes('canary'), true, 'it was there')
      assert.deepEqual(
        after.split('\0').filter((entry) => entry !== ''),
        ['FIRST=x=y', 'A_KEY=', 'EMPTY=', 'A_KEY_TOO=of another', 'PATH=/usr/bin:/bin'],
      )
    } finally {
      child.stdin.end()
      child.kill()
    }
  },
)
