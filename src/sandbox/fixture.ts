/** What the tests of this room share: both rungs on this machine, boxes, and a look at the host's processes. Part of no product. */
import { readdirSync, readFileSync } from 'node:fs'
import { mkdir, mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import type { Readable } from 'node:stream'
import { isRefusal } from '../core/refusal.ts'
import type { Rung } from '../core/rung.ts'
import { environment } from '../host/environment.ts'
import { realWorld } from '../host/world.ts'
import { makeArea } from './area.ts'
import { createSandbox } from './create.ts'
import type { Area, Box, Contained, Sandbox } from './sandbox.ts'

export const world = realWorld()
export const path = environment()['PATH'] ?? '/usr/bin:/bin'

/** A folder of the test's own; its name has what paths may have. */
export const makeFolder = (): Promise<string> => mkdtemp(join(tmpdir(), 'tri agent\nsandbox-'))

/** To root no folder is closed, so it becomes somebody else for a while. */
export async function asNobody(body: () => Promise<void>): Promise<void> {
  const isRoot = process.getuid?.() === 0
  if (isRoot) process.seteuid?.(65_534)
  try {
    await body()
  } finally {
    if (isRoot) process.seteuid?.(0)
  }
}

/** A rung of this machine, or why a test of it must be skipped. */
export async function standOn(rung: Rung, folder: string): Promise<Sandbox | string> {
  const sandbox = await createSandbox(world, { rung, lowest: rung, path, folder })
  return isRefusal(sandbox) ? sandbox.why : sandbox
}

export async function freshArea(folder: string): Promise<Area> {
  const area = await makeArea(join(folder, world.id('area')))
  await mkdir(area.work)
  return area
}

export const boxOf = (area: Area, argv: readonly string[], more: Partial<Box> = {}): Box => ({
  area,
  argv,
  env: {},
  stdin: null,
  mounts: [],
  gateway: null,
  toolchain: [dirname(process.execPath)],
  ...more,
})

/** A shell command in a box. `$0` is `token`, so that the host can find it. */
export const shell = (area: Area, script: string, token = 'sh', more: Partial<Box> = {}): Box =>
  boxOf(area, ['/bin/sh', '-c', script, token], more)

export async function textOf(stream: Readable): Promise<string> {
  const chunks: Buffer[] = []
  for await (const chunk of stream as AsyncIterable<Buffer>) chunks.push(chunk)
  return Buffer.concat(chunks).toString('utf8')
}

/** Sees a box through to its end. */
export async function see(sandbox: Sandbox, box: Box) {
  const contained = await sandbox.start(box)
  const [stdout, stderr, exit] = await Promise.all([textOf(contained.stdout), textOf(contained.stderr), contained.exit])
  const { survivors } = await contained.kill()
  return { stdout, stderr, ...exit, survivors }
}

/** Resolves with what was printed once it has `word` in it. */
export function hear({ stdout }: Contained, word: string): Promise<string> {
  let text = ''
  return new Promise((resolve, reject) => {
    stdout.on('data', (chunk: Buffer) => {
      text += chunk.toString('utf8')
      if (text.includes(word)) resolve(text)
    })
    stdout.once('end', () => reject(new Error(`ended without ${word}: ${text}`)))
  })
}

/** Processes of the host that have the token in their command line. */
export const carrying = (token: string): number[] =>
  readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
    .filter((pid) => {
      try {
        return readFileSync(`/proc/${pid}/cmdline`, 'latin1').includes(token)
      } catch {
        return false // gone meanwhile
      }
    })
    .map(Number)
