/** bench install: what a user waits for and gives room to, from the packed tarball to a program that answers. No registry is asked. */
import { mkdtemp, rm } from 'node:fs/promises'
import { statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { installInto, packInto } from '../test/package-rig.ts'
import { filesBelow, median, type Bench } from './measure.ts'

/** numbers.md: megabytes and seconds. */
const mostMb = 20
const mostSeconds = 10
const rounds = 3

export const benchInstall: Bench = async (note) => {
  const scratch = await mkdtemp(join(tmpdir(), 'tri-agent-install-'))
  try {
    note('packing')
    const tarball = await packInto(scratch)
    const seconds: number[] = []
    let installedBytes = 0
    for (let round = 0; round < rounds; round++) {
      note(`install ${round + 1} of ${rounds}`)
      const folder = join(scratch, `empty-${round}`)
      seconds.push(await installInto(scratch, folder, tarball))
      installedBytes = filesBelow(join(folder, 'node_modules')).reduce((sum, file) => sum + statSync(file).size, 0)
    }
    const mb = (bytes: number) => bytes / 1024 / 1024
    return [
      { what: 'tarball', unit: 'MB', measured: mb(statSync(tarball).size), baseline: null, target: null },
      { what: 'installed', unit: 'MB', measured: mb(installedBytes), baseline: null, target: mostMb },
      { what: 'install', unit: 's', measured: median(seconds), baseline: null, target: mostSeconds },
    ]
  } finally {
    await rm(scratch, { recursive: true, force: true })
  }
}
