/** Node lets some descriptors of its own parent through to what it starts: on no rung does one get into a box. */
import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import test, { after } from 'node:test'
import { rungs } from '../core/rung.ts'
import { capture } from '../host/process.ts'
import { removeTree } from './area.ts'
import { freshArea, makeFolder, standOn, startCompanion, world } from './fixture.ts'

const folder = await makeFolder()
after(() => removeTree(folder))
const secret = join(folder, 'planted')
await writeFile(secret, 'hush')
const listening = await startCompanion({ folder: join(folder, 'companion'), shared: [folder], holds: secret })
after(() => (typeof listening === 'string' ? undefined : listening.end()))
const place =
  typeof listening === 'string'
    ? undefined
    : { socket: listening.socket, house: folder, areas: folder, sockets: folder, readOnly: [], hidden: [] }

// before the first test: where some are skipped, what follows the last one would begin while others are still stood on
const stood = await Promise.all(rungs.map(async (rung) => [rung, await standOn(rung, folder, place)] as const))
for (const [rung, sandbox] of stood) {
  const skip = typeof sandbox === 'string' && sandbox
  test(`${rung}: a descriptor that this process got from its own parent goes no further`, { skip }, async () => {
    const area = await freshArea(folder)
    const program = `
      const { standOn, see, shell, world } = await import(${JSON.stringify(join(import.meta.dirname, 'fixture.ts'))})
      const { capture } = await import(${JSON.stringify(join(import.meta.dirname, '../host/process.ts'))})
      const sandbox = await standOn('${rung}', ${JSON.stringify(folder)}, ${JSON.stringify(place)})
      const script = 'cat <&77'
      const open = await capture(world.spawn, { file: 'bash', args: ['-c', script], cwd: '/', env: { PATH: '/usr/bin:/bin' } })
      const held = await see(sandbox, { ...shell(${JSON.stringify(area)}, ''), argv: ['bash', '-c', script] })
      console.log(JSON.stringify([open.stdout, held.stdout, held.code]))`
    const { stdout, stderr } = await capturePlanted(program)
    assert.equal(stdout, '["hush","",1]\n', stderr)
  })
}

/** Starts a node that has the secret open as 77, not to be closed on exec. */
async function capturePlanted(program: string) {
  const env = { PATH: `${dirname(process.execPath)}:/usr/bin:/bin` }
  const args = ['-c', 'exec 77<"$1"; exec node --input-type=module -e "$2"', 'plant', secret, program]
  return capture(world.spawn, { file: 'bash', args, cwd: '/', env })
}
