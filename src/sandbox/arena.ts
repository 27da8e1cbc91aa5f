/**
 * The throw-away place that attacks are aimed at: a folder with planted secrets, servers that give one away, and a process as a victim. All of it is of
 * the one who asks, all of it goes again, and nothing else of the machine is touched.
 */
import { chmod, copyFile, mkdir, rm, writeFile } from 'node:fs/promises'
import { createSocket } from 'node:dgram'
import { createServer, type AddressInfo, type Server } from 'node:net'
import { networkInterfaces } from 'node:os'
import { dirname, join } from 'node:path'
import type { Child } from '../host/process.ts'
import { makeTemporary } from '../host/temporary.ts'
import type { World } from '../host/world.ts'
import { removeTree } from './area.ts'
import { secretFiles, shownFolders, type Need } from './attack.ts'
import { find } from './create.ts'

export type Arena = AsyncDisposable & {
  /** $PLANT. */
  plant: string
  /** The planted secret; in no environment but the victim's. */
  secret: string
  /** What the scripts are told. */
  variables: Readonly<Record<string, string>>
  /** A fresh victim: its environment, words, folder and descriptor 9 hold the secret. */
  victim(): Promise<Child>
  has(need: Need): boolean
}

/** Builds it. `path` is where the victim's programs are. */
export async function buildArena(world: World, path: string): Promise<Arena> {
  const stack = new AsyncDisposableStack()
  try {
    const plant = await makeTemporary('tri-audit')
    stack.defer(() => removeTree(plant))
    const secret = `planted-${world.secret(12)}`
    await layOut(plant, secret)
    const listen = async (where: number | string, host?: string): Promise<number> => {
      const server = createServer((socket) => {
        socket.on('error', () => socket.destroy())
        socket.resume() // or it would stay open for what nobody reads
        socket.end(`${secret}\n`)
      })
      stack.defer(() => close(server))
      await new Promise<void>((resolve, reject) =>
        server
          .once('error', reject)
          .listen(typeof where === 'string' ? { path: where } : { port: where, host }, resolve),
      )
      return typeof where === 'string' ? 0 : (server.address() as AddressInfo).port
    }
    const port = await listen(0, '127.0.0.1')
    const port6 = hasIpv6() ? await listen(0, '::1') : 0
    for (const name of ['other.sock', 'daemon.sock']) await listen(join(plant, 'sockets', name))
    const udp = createSocket('udp4', (_, from) => udp.send(secret, from.port, from.address))
    stack.defer(() => new Promise<void>((resolve) => udp.close(resolve)))
    await new Promise<void>((resolve) => udp.bind(0, '127.0.0.1', resolve))
    const has: Record<Need, boolean> = {
      root: process.getuid?.() === 0,
      perl: find('perl', '/usr/bin') !== null,
      ipv6: port6 !== 0,
      interface: Object.keys(networkInterfaces()).some((name) => name !== 'lo'),
    }
    const kept = stack.move()
    return {
      plant,
      secret,
      variables: { PLANT: plant, PORT: `${port}`, PORT6: `${port6}`, UDP: `${udp.address().port}` },
      victim: () => startVictim(world, path, plant, secret),
      has: (need) => has[need],
      [Symbol.asyncDispose]: () => kept.disposeAsync(),
    }
  } catch (error) {
    await stack.disposeAsync()
    throw error
  }
}

const close = (server: Server) => new Promise<void>((resolve) => server.close(() => resolve()))

const hasIpv6 = (): boolean => networkInterfaces()['lo']?.some(({ family }) => family === 'IPv6') ?? false

async function layOut(plant: string, secret: string): Promise<void> {
  for (const folder of ['marks', 'sockets', 'project/.git/hooks', 'home', ...shownFolders.map(({ folder }) => folder)])
    await mkdir(join(plant, folder), { recursive: true, mode: 0o700 })
  for (const file of secretFiles) {
    await mkdir(dirname(join(plant, file)), { recursive: true, mode: 0o700 })
    await writeFile(join(plant, file), `${secret}\n`, { mode: 0o600 })
  }
  if (process.getuid?.() !== 0) return
  const program = join(plant, 'toolchain/bin/id-as-root')
  await copyFile('/usr/bin/id', program)
  await chmod(program, 0o4755)
}

async function startVictim(world: World, path: string, plant: string, secret: string): Promise<Child> {
  const child = await world.spawn({
    file: 'sh',
    args: ['-c', 'exec 9< secret; echo up; while :; do sleep 30; done', secret],
    cwd: plant,
    env: { PATH: path, HELD: secret },
  })
  await new Promise((resolve) => child.stdout.once('data', resolve))
  return child
}

/** Takes away what an attack made, so that the next one is judged by its own. */
export const sweep = (plant: string, file: string): Promise<void> => rm(join(plant, file), { force: true })
