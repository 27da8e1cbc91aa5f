/** Whether the rung subreaper works here, found by trying it. */
import { mkdir } from 'node:fs/promises'
import { platform } from 'node:os'
import { hasProc, startTimeOf } from '../host/proc.ts'
import { makeTemporary } from '../host/temporary.ts'
import { makeArea, removeTree } from './area.ts'
import { textOf } from './finish.ts'
import type { Sandbox } from './sandbox.ts'

/** Should whoever looks be killed, what was started for it ends by itself. Seconds. */
const answerS = 30

/** Lets a program leave something behind, and sees whether it is gone. Null, or why that did not work. */
export async function trySubreaper(sandbox: Sandbox): Promise<string | null> {
  if (platform() !== 'linux' || !hasProc()) return `it is Linux's, with a /proc`
  const root = await makeTemporary('tri-probe')
  try {
    const area = await makeArea(root)
    await mkdir(area.work)
    const argv = [
      '/bin/sh',
      '-c',
      `(setsid env -i /bin/sh -c 'exec 3<&-; echo $$; exec sleep ${answerS}' &) | head -n 1`,
    ]
    const contained = await sandbox.start({
      area,
      argv,
      env: { PATH: '/usr/bin:/bin' },
      stdin: null,
      mounts: [],
      gateway: null,
    })
    const [said, complained] = await Promise.all([textOf(contained.stdout), textOf(contained.stderr), contained.exit])
    const { survivors } = await contained.kill()
    const left = Number(said)
    if (left > 0 && survivors === 0 && startTimeOf(left) === null) return null
    return !/Cannot find (?:package|module) /.test(complained)
      ? complained.trim().split('\n').at(-1) || 'what a program left behind was not ended'
      : 'koffi is not installed (npm install @koromix/koffi-linux-x64, or -arm64, beside tri-agent)'
  } finally {
    await removeTree(root)
  }
}
