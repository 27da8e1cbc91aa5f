/**
 * A room of its own for chaos: user, mount, network and process namespaces, a file system of its own for the scratch folder. In it the disk can fill up and
 * the network go without anybody else noticing, every process there is one that chaos has to account for, and all ends with the room.
 */
import { capture } from '../host/process.ts'
import type { World } from '../host/world.ts'
import { roomKilobytes } from './chaos-strike.ts'

type Asked = {
  world: World
  folder: string
  path: string
  /** Node's words for whoever goes on inside. */
  args: readonly string[]
  env: Readonly<Record<string, string>>
  /** Told what it prints, as it does. */
  out(text: string): void
  note(text: string): void
}

const unshare = '--user --map-root-user --mount --net --pid --fork --kill-child --mount-proc'.split(' ')

/** Shell, with the folder as its first word: what makes the room. The shell stays as its first process and takes in what loses its parent. */
const make = `mount -t tmpfs -o size=${roomKilobytes}k,mode=700 tmpfs "$1" && ip link set lo up && shift`

/** Goes on inside; answers the exit code, or why no room can be made here. */
export async function enterRoom({ world, folder, path, args, env, out, note }: Asked): Promise<number | string> {
  const own = { ...env, PATH: `${path}:/usr/sbin:/sbin` }
  const words = (script: string, more: readonly string[]) => [...unshare, 'sh', '-c', script, 'room', folder, ...more]
  const tried = await capture(world.spawn, { file: 'unshare', args: words(make, []), cwd: '/', env: own }).catch(
    (error: Error) => ({ code: -1, stderr: error.message }),
  )
  if (tried.code !== 0) return tried.stderr.trim() || `unshare ended with ${tried.code}`
  const script = `${make} && "$@"; exit $?`
  const child = await world.spawn({
    file: 'unshare',
    args: words(script, [process.execPath, ...args]),
    cwd: '/',
    env: own,
  })
  const end = () => void child.signal('SIGKILL')
  for (const name of ['SIGINT', 'SIGTERM'] as const) process.on(name, end)
  child.stdout.setEncoding('utf8').on('data', out)
  child.stderr.setEncoding('utf8').on('data', note)
  const { code } = await child.exit
  for (const name of ['SIGINT', 'SIGTERM'] as const) process.off(name, end)
  return code ?? 1
}
