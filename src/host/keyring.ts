/**
 * The keyring of the operating system, by its own command: `secret-tool` where a session bus is (libsecret), `security` on macOS. A key goes in over
 * stdin and comes out over stdout; it never stands in an argument or a variable. Null where there is no keyring: the caller knows another place.
 */
import { platform } from 'node:os'
import { findProgram } from './detect.ts'
import type { Env } from './path.ts'
import { capture, type SpawnSpec } from './process.ts'
import type { World } from './world.ts'

export type Keyring = {
  kind: 'secret-tool' | 'security'
  /** True when it is in there, proven by reading it back. */
  put(name: string, key: string): Promise<boolean>
  /** Null: not there, or locked and nobody there to unlock it. */
  get(name: string): Promise<string | null>
  remove(name: string): Promise<void>
}

/** Our entries carry this name, and the key's as their account. */
const ourName = 'tri-agent'
/** A locked keyring asks its owner; a daemon has nobody to ask. Milliseconds. */
const patienceMs = 30_000
const mostBytes = 64 * 1024

/** The keyring of whoever this environment belongs to. */
export function findKeyring(world: World, env: Env, system: string = platform()): Keyring | null {
  const type = (file: string, args: readonly string[], stdin: string | null) =>
    ask(world, { file, args, stdin, cwd: '/', env: sessionOf(env) })
  const security = system === 'darwin' ? findProgram('security', env) : null
  if (security !== null) return macOs((args, stdin) => type(security, args, stdin))
  const secretTool = env['DBUS_SESSION_BUS_ADDRESS'] ? findProgram('secret-tool', env) : null
  return secretTool === null ? null : libsecret((args, stdin) => type(secretTool, args, stdin))
}

type Asked = { code: number | null; stdout: string }
type Type = (args: readonly string[], stdin: string | null) => Promise<Asked>

const libsecret = (type: Type): Keyring =>
  provable('secret-tool', {
    store: (name, key) => type(['store', `--label=tri-agent: key of ${name}`, 'service', ourName, 'name', name], key),
    get: (name) => type(['lookup', 'service', ourName, 'name', name], null),
    remove: (name) => type(['clear', 'service', ourName, 'name', name], null),
  })

/** `security -i` reads its command from stdin, so that the key stands in no argument; it knows quotes and backslashes, so a key has neither. */
const macOs = (type: Type): Keyring =>
  provable('security', {
    store: (name, key) =>
      /["\\]/.test(key)
        ? Promise.resolve({ code: 1, stdout: '' })
        : type(['-i'], `add-generic-password -U -a "${name}" -s "${ourName}" -w "${key}"\n`),
    get: (name) => type(['find-generic-password', '-a', name, '-s', ourName, '-w'], null),
    remove: (name) => type(['delete-generic-password', '-a', name, '-s', ourName], null),
  })

function provable(
  kind: Keyring['kind'],
  {
    store,
    get,
    remove,
  }: Record<'get' | 'remove', (name: string) => Promise<Asked>> & {
    store(name: string, key: string): Promise<Asked>
  },
): Keyring {
  const read = async (name: string) => {
    const { code, stdout } = await get(name)
    return code === 0 ? stdout.trim() || null : null
  }
  return {
    kind,
    get: read,
    put: async (name, key) => (await store(name, key)).code === 0 && (await read(name)) === key,
    remove: async (name) => void (await remove(name)),
  }
}

/** What reaches a person's session, and nothing else of the environment. */
function sessionOf(env: Env): Record<string, string> {
  const names = ['HOME', 'PATH', 'LANG', 'DBUS_SESSION_BUS_ADDRESS', 'XDG_RUNTIME_DIR', 'DISPLAY', 'WAYLAND_DISPLAY']
  return Object.fromEntries(names.flatMap((name) => (env[name] ? [[name, env[name]]] : [])))
}

async function ask(world: World, spec: SpawnSpec): Promise<Asked> {
  try {
    return await captureWithin(world, spec, patienceMs, mostBytes)
  } catch {
    return { code: null, stdout: '' } // could not be started, or printed a flood: no keyring
  }
}

/** Starts a program and collects what it prints; it is killed after so many milliseconds. */
export const captureWithin = (world: World, spec: SpawnSpec, ms: number, bytes: number) =>
  capture(
    async (each) => {
      const child = await world.spawn(each)
      const cancel = world.timer.after(ms, () => child.signal('SIGKILL'))
      void child.exit.then(cancel)
      return child
    },
    spec,
    bytes,
  )
