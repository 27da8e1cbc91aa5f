/** bench cli: what the two verbs that programs ask most often cost above starting Node at all. */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { bundle, person } from '../test/cli-rig.ts'
import { childrenCpuMs, median, timeOf, type Bench } from './measure.ts'

/** numbers.md: wall time above bare node, CPU above bare node. */
const versionMs = 15
const statusCpuMs = 20
const rounds = 31
const batches = 7
const batchSize = 10

export const benchCli: Bench = async (note) => {
  await using built = await bundle()
  await using ada = await person(built.program)
  const empty = join(ada.home, 'empty.mjs')
  await writeFile(empty, '')
  await ada.type(['init', '--yes'])
  for (let n = 1; n <= 20; n++) await ada.type(['add', `Task ${n}`])
  const env = { HOME: ada.home, PATH: '/usr/bin:/bin' }
  const start = (...args: string[]) => timeOf(args, env, ada.repository)
  const kinds = { bare: [empty], version: [built.program, '--version'], status: [built.program, 'status'] }
  const wall = { bare: [] as number[], version: [] as number[], status: [] as number[] }
  const cpu = { bare: [] as number[], version: [] as number[], status: [] as number[] }
  for (const args of Object.values(kinds)) await start(...args) // what is compiled once is compiled now
  note(`${rounds} rounds of wall time`)
  for (let round = 0; round < rounds; round++)
    for (const [kind, args] of Object.entries(kinds)) wall[kind as keyof typeof kinds].push(await start(...args))
  note(`${batches} × ${batchSize} rounds of CPU`)
  for (let batch = 0; batch < batches; batch++)
    for (const [kind, args] of Object.entries(kinds)) {
      const before = childrenCpuMs()
      for (let n = 0; n < batchSize; n++) await start(...args)
      cpu[kind as keyof typeof kinds].push((childrenCpuMs() - before) / batchSize)
    }
  const bareMs = median(wall.bare)
  const bareCpuMs = median(cpu.bare)
  const row = (what: string, measured: number, baseline: number, above: number | null) =>
    ({ what, unit: 'ms', measured, baseline, target: above === null ? null : baseline + above }) as const
  return [
    row('--version, wall time', median(wall.version), bareMs, versionMs),
    row('--version, CPU', median(cpu.version), bareCpuMs, null),
    row('status, wall time', median(wall.status), bareMs, null),
    row('status, CPU', median(cpu.status), bareCpuMs, statusCpuMs),
  ]
}
