/** The gates that are being executed now: which, for how long, of how long. Reads the end of a transcript, and only where a gate is at work. */
import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs'
import { join } from 'node:path'
import { gateUnderWay, type GateProgress } from '../core/gate-progress.ts'
import type { GateReport } from '../core/gate.ts'
import type { Task } from '../core/task.ts'
import type { Reader } from '../store/database.ts'
import { lastGateResults, processSince } from '../store/lease.ts'

/** What a gate may print before it is not found any more, in bytes. */
const tailBytes = 1024 * 1024

/** By task. `folder`: where the transcripts are. */
export async function readGates(
  reader: Reader,
  tasks: readonly Task[],
  { now, folder }: { now: number; folder: string },
): Promise<Map<string, GateProgress>> {
  const found = new Map<string, GateProgress>()
  let reports: GateReport[] | null = null
  for (const { id, running } of tasks)
    for (const { attempt } of running.filter(({ step }) => step === 'verify' || step === 'land')) {
      const since = await processSince(reader, attempt)
      if (since === null) continue
      const tail = readTail(join(folder, `${attempt}.jsonl`))
      reports ??= await lastGateResults(reader, 20)
      const progress = gateUnderWay(tail, reports, now - since)
      if (progress) found.set(id, progress)
    }
  return found
}

function readTail(file: string): string {
  let descriptor: number
  try {
    descriptor = openSync(file, constants.O_RDONLY | constants.O_NOFOLLOW)
  } catch {
    return '' // not there yet, or not ours to read: then nothing is said
  }
  try {
    const { size } = fstatSync(descriptor)
    const buffer = Buffer.alloc(Math.min(size, tailBytes))
    return buffer.toString('utf8', 0, readSync(descriptor, buffer, 0, buffer.length, size - buffer.length))
  } finally {
    closeSync(descriptor)
  }
}
