/** bench large: a repository of 100,000 files and a gigabyte of history, from `add` to the landed commit, against plain git. Needs 6 GB of memory to lay it in. */
import { existsSync, statfsSync } from 'node:fs'
import { workOn } from '../test/e2e/large.ts'
import type { Bench } from './measure.ts'

const folder = '/dev/shm'
const spaceBytes = 6 * 1024 ** 3
const mb = 1024 ** 2
/** As in test/e2e/large.test.ts; what is held in memory grows with the number of files. */
const mostTrees = 50
const mostMb = 512

export const benchLarge: Bench = async (note) => {
  const isThere = existsSync(folder)
  const free = isThere ? statfsSync(folder).bavail * statfsSync(folder).bsize : 0
  if (free < spaceBytes)
    throw new Error(`${folder} has ${Math.floor(free / mb)} MB free, and ${spaceBytes / mb} are needed`)
  const taken = await workOn({ files: 100_000, historyBytes: 1024 * mb }, folder, note)
  const { plainMs, taskMs, memoryBytes, sourceKb, mirrorKb } = taken
  return [
    {
      what: 'one task, CPU of all processes',
      unit: 'ms',
      measured: taskMs,
      baseline: plainMs,
      target: plainMs * mostTrees,
    },
    { what: 'memory the daemon takes for it', unit: 'MB', measured: memoryBytes / mb, baseline: null, target: mostMb },
    {
      what: 'the mirror',
      unit: 'MB',
      measured: mirrorKb / 1024,
      baseline: sourceKb / 1024,
      target: (sourceKb / 1024) * 1.1,
    },
  ]
}
