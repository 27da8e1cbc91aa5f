/**
 * The one place that starts git. Every call gets the same scrubbed surroundings: no configuration of the machine or the user, no hooks,
 * no filters, no fsmonitor, no replace refs, no grafts, no network, no prompt.
 *
 * Repositories are named by their git directory, never discovered: discovery is where ownership checks and surprises live.
 * It never reads the environment, never prints, and knows no exit code's meaning: callers say which codes are answers.
 */
import type { Readable } from 'node:stream'
import { Fault } from '../host/fault.ts'
import type { Child, Exit } from '../host/process.ts'
import type { World } from '../host/world.ts'

type Call = {
  args: readonly string[]
  /** The git directory acted on; absent only for `init` and discovery. */
  gitDir?: string
  /** The folder of a user's repository, for discovery alone. */
  folder?: string
  /** Object folders to read from besides the git directory's own. */
  borrow?: readonly string[]
  env?: Readonly<Record<string, string>>
  stdin?: string | Uint8Array
  /** New objects reach the disk before any ref that names them. */
  durable?: boolean
  /** Exit codes that are answers; any other is a Fault. Default: 0 alone. */
  accept?: readonly number[]
  /** Most bytes of stdout. Default 256 MiB. */
  maxBytes?: number
}

type Answer = { code: number; stdout: Buffer; stderr: string }

export type Command = {
  /** Starts git once and collects its answer. Throws Fault `git-failed`, `git-missing`, `git-timeout`, `git-too-large`. */
  answer(call: Call): Promise<Answer>
  /** The trimmed text of an answer. */
  text(call: Call): Promise<string>
  /** Feeds what `from` prints into `to`, in a stream, and answers what `to` says. */
  pipe(from: Call, to: Call): Promise<Answer>
}

export type CommandOptions = {
  /** PATH on which git is found. */
  path: string
  /** After which a command is killed, in milliseconds. Default 10 minutes: a first mirror of a large history is one command. */
  timeoutMs?: number
}

const defaultTimeoutMs = 600_000
const defaultMaxBytes = 256 * 1024 * 1024
const maxComplaintBytes = 64 * 1024

const settings = [
  'core.hooksPath=/dev/null',
  'core.fsmonitor=false',
  'core.attributesFile=/dev/null',
  'core.excludesFile=/dev/null',
  'core.autocrlf=false',
  'core.protectNTFS=true',
  'core.protectHFS=true',
  'core.quotePath=false',
  'core.filesRefLockTimeout=5000', // racing landers wait for each other instead of failing
  'safe.directory=*', // the store's or the user's folder may belong to another account; we execute nothing of it
  'safe.bareRepository=all',
  'gc.auto=0',
  'maintenance.auto=false',
  'pack.allowPackReuse=false', // only what was asked for leaves a repository
  'i18n.commitEncoding=UTF-8',
  'i18n.logOutputEncoding=UTF-8',
]

const durable = ['core.fsync=all', 'core.fsyncMethod=batch']

/** Makes the starter of git for one world. */
export function createCommand(world: World, options: CommandOptions): Command {
  const timeoutMs = options.timeoutMs ?? defaultTimeoutMs

  async function start(call: Call, stdin: string | Uint8Array | Readable | null): Promise<Child> {
    const flags = (call.durable ? [...settings, ...durable] : settings).flatMap((setting) => ['-c', setting])
    const place =
      call.folder !== undefined ? ['-C', call.folder] : call.gitDir === undefined ? [] : [`--git-dir=${call.gitDir}`]
    const env = { ...surroundings(options.path), ...borrowed(call.borrow), ...call.env }
    try {
      return await world.spawn({ file: 'git', args: [...flags, ...place, ...call.args], cwd: '/', env, stdin })
    } catch (cause) {
      throw new Fault('git-missing', 'git could not be started', { hint: 'install git 2.38 or newer', cause })
    }
  }

  /** Waits for the end; kills the command when its time is over. */
  async function finish(call: Call, child: Child, stdout: Promise<Buffer>): Promise<Answer> {
    let late = false
    const cancel = world.timer.after(timeoutMs, () => {
      late = true
      child.signal('SIGKILL')
    })
    try {
      const [printed, complaint, exit] = await Promise.all([
        stdout,
        collect(child.stderr, maxComplaintBytes),
        child.exit,
      ])
      if (late) throw new Fault('git-timeout', `git ${call.args[0]} took longer than ${timeoutMs} ms`)
      const most = call.maxBytes ?? defaultMaxBytes
      if (printed.length > most) throw new Fault('git-too-large', `git ${call.args[0]} printed more than ${most} bytes`)
      return judge(call, exit, printed, complaint.toString('utf8').trim())
    } finally {
      cancel()
    }
  }

  async function answer(call: Call): Promise<Answer> {
    const child = await start(call, call.stdin ?? null)
    return await finish(call, child, collect(child.stdout, (call.maxBytes ?? defaultMaxBytes) + 1))
  }

  async function pipe(from: Call, to: Call): Promise<Answer> {
    const source = await start(from, from.stdin ?? null)
    const sink = await start(to, source.stdout).catch((cause: unknown) => {
      source.signal('SIGKILL')
      throw cause
    })
    let gaveUp = false
    const closing = sink.exit.then(() => {
      gaveUp = !source.stdout.readableEnded
      source.stdout.destroy() // else a sink that gives up leaves the source blocked on a full pipe for ever
    })
    const [sent, taken] = await Promise.allSettled([
      finish(from, source, Promise.resolve(Buffer.alloc(0))),
      finish(to, sink, collect(sink.stdout, defaultMaxBytes)),
      closing,
    ])
    // A broken source makes the sink complain of a short pack, a sink that gives up breaks the source: the first one's words are the useful ones.
    if (taken.status === 'rejected') throw gaveUp || sent.status === 'fulfilled' ? taken.reason : sent.reason
    if (sent.status === 'rejected') throw sent.reason
    return taken.value
  }

  return {
    answer,
    pipe,
    text: async (call) => (await answer(call)).stdout.toString('utf8').trim(),
  }
}

function surroundings(path: string): Record<string, string> {
  return {
    PATH: path,
    HOME: '/nonexistent',
    XDG_CONFIG_HOME: '/nonexistent',
    LC_ALL: 'C',
    TZ: 'UTC',
    GIT_CONFIG_NOSYSTEM: '1',
    GIT_CONFIG_GLOBAL: '/dev/null',
    GIT_ATTR_NOSYSTEM: '1',
    GIT_NO_REPLACE_OBJECTS: '1',
    GIT_GRAFT_FILE: '/nonexistent/grafts',
    GIT_NO_LAZY_FETCH: '1',
    GIT_OPTIONAL_LOCKS: '0',
    GIT_LITERAL_PATHSPECS: '1',
    GIT_TERMINAL_PROMPT: '0',
    GIT_ALLOW_PROTOCOL: 'file',
    GIT_AUTHOR_NAME: 'tri-agent',
    GIT_AUTHOR_EMAIL: 'tri-agent@localhost',
    GIT_COMMITTER_NAME: 'tri-agent',
    GIT_COMMITTER_EMAIL: 'tri-agent@localhost',
  }
}

function borrowed(folders: readonly string[] | undefined): Record<string, string> {
  return folders === undefined ? {} : { GIT_ALTERNATE_OBJECT_DIRECTORIES: folders.map(quoteFolder).join(':') }
}

/** A path as git reads it in a list of object folders: quoted like C when it holds a separator (gitrepository-layout, git(1)). */
export function quoteFolder(path: string): string {
  if (!/[:"\n\\#]/.test(path)) return path
  return `"${path.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n')}"`
}

function judge(call: Call, exit: Exit, stdout: Buffer, stderr: string): Answer {
  if (exit.code !== null && (call.accept ?? [0]).includes(exit.code)) return { code: exit.code, stdout, stderr }
  const how = exit.code === null ? `ended by ${exit.signal}` : `ended with ${exit.code}`
  throw new Fault('git-failed', `git ${call.args[0]} ${how}: ${stderr.slice(-2000) || 'it said nothing'}`)
}

/** Reads a stream to its end and keeps at most `maxBytes` of it. */
async function collect(stream: Readable, maxBytes: number): Promise<Buffer> {
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    if (bytes < maxBytes) chunks.push(chunk.subarray(0, maxBytes - bytes))
    bytes += chunk.length
  }
  return Buffer.concat(chunks)
}
